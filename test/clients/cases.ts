/**
 * Cases that every client must pass. Each is written once: the request to the peer program, the answer it must give, and the
 * content of the recording. A plain sshd must pass the same cases, without the recording.
 */
import { once } from 'node:events';
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { PeerProcess, Words } from './peer-process.js';
import { commandOf, forwards, operations, outline, resizes, sha256, total, totals, transfer } from './recordings.js';
import type { Recording } from './recordings.js';

export type Auth = 'certificate' | 'agent';

/** Working files of one case, for one peer at one server. */
export interface Place {
  /** Empty at first. The node is this machine, so it sees the same files. */
  readonly folder: string;
  readonly auth: Auth;
  /** Port of an echo server. */
  readonly echoPort: number;
  /** Files of random bytes: `bulk` has 6 MB, three times the window of most clients and enough for six rekeys at a megabyte each; `sample` has 300 kB. */
  readonly bulk: string;
  readonly sample: string;
}

export interface Case {
  readonly name: string;
  readonly claim: string;
  /** Number of sessions that the case records. */
  readonly sessions: number;
  readonly run: (peer: PeerProcess, place: Place) => Promise<unknown>;
  readonly seen: (place: Place) => unknown;
  /** `recorded`: what the recordings say; `record`: what they must say. */
  readonly recorded: (recordings: readonly Recording[], place: Place) => unknown;
  readonly record: (place: Place) => unknown;
}

const exec = (exit: number): object => ({ kind: 'exec', tty: false, exit, end: 'complete' });
/** Without `exit`: whether there is a code depends on which end closes first. */
const sftp = { kind: 'sftp', tty: false, end: 'complete' };
const forward = { kind: 'forward', tty: false, exit: null, end: 'complete' };

function file(place: Place, name: string, content: string): string {
  const path = join(place.folder, name);
  writeFileSync(path, content);
  return path;
}

const text = (place: Place, name: string): string => readFileSync(join(place.folder, name), 'utf8');

/** Runs `command` with `input` and returns the outcome. */
function execCase(
  name: string,
  claim: string,
  auth: Auth | undefined,
  command: string,
  input: string,
  stdout: string,
  stderr: string,
  exit: number,
): Case {
  return {
    name,
    claim,
    sessions: 1,
    async run(peer, place) {
      const answers = await peer.ask([
        auth ?? place.auth,
        'exec',
        file(place, 'command', command),
        file(place, 'input', input),
        place.folder,
      ]);
      return { answers, stdout: text(place, 'stdout'), stderr: text(place, 'stderr') };
    },
    seen: () => ({ answers: [['exit', String(exit)]], stdout, stderr }),
    recorded: ([recording]) => ({ ...outline(recording!), command: commandOf(recording!), totals: totals(recording!) }),
    record: () => ({
      ...exec(exit),
      command,
      totals: [
        ['err', stderr],
        ['in', input],
        ['out', stdout],
      ]
        .flatMap(([stream, bytes]) => (bytes === '' ? [] : [total(stream!, Buffer.byteLength(bytes!), sha256(bytes!))]))
        .sort(),
    }),
  };
}

/**
 * Sends `bytes`, waits until as many have come back, and only then ends its side: once the other side has ended, the Java
 * libraries drop data that is still on its way back, at a plain sshd too.
 */
async function sentBack(port: number, bytes: Buffer): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write(bytes);
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length >= bytes.length) break;
  }
  socket.end();
  return Buffer.concat(chunks);
}

/** Writes a script of file operations with the answer that each must get. */
function script(place: Place, steps: readonly Words[]): string {
  return file(place, 'script', steps.map((words) => `${words.map(encodeURIComponent).join(' ')}\n`).join(''));
}

const names = [
  'with two  spaces',
  `quotes ' and "`,
  'new\nline',
  'ünïcode 文字 🎉',
  '-leading-dash',
  'back\\slash',
  '[*?] $HOME;#',
] as const;

const letters = Array.from({ length: 100_000 }, (_, index) => 'abcdefghijklmnopqrstuvwxyz'[(index * 7 + (index >> 8)) % 26]).join('');

export const cases: readonly Case[] = [
  execCase(
    'certificate',
    'logs in with a certificate file; a command has its input, output, error output and exit code',
    'certificate',
    'cat; echo problem >&2; exit 7',
    'given\n',
    'given\n',
    'problem\n',
    7,
  ),
  execCase('agent', 'logs in with an agent that holds another key first', 'agent', 'echo by agent; exit 3', '', 'by agent\n', '', 3),
  execCase(
    'long command',
    'runs a command of 100 kB',
    undefined,
    `printf %s ${letters} | sha256sum | cut -c1-64`,
    '',
    `${sha256(letters)}\n`,
    '',
    0,
  ),
  {
    name: 'terminal',
    claim: 'has a terminal of its size, before and after the size changes',
    sessions: 1,
    async run(peer, place) {
      const answers = await peer.ask([place.auth, 'shell', place.folder]);
      return {
        answers,
        sizes: text(place, 'stdout')
          .match(/^(24 80|43 132)\r?$/gm)
          ?.map((line) => line.trim()),
      };
    },
    seen: () => ({ answers: [['exit', '5']], sizes: ['24 80', '43 132'] }),
    recorded: ([recording]) => ({
      ...outline(recording!),
      size: [recording!.header.term.cols, recording!.header.term.rows],
      resizes: resizes(recording!),
    }),
    record: () => ({ kind: 'shell', tty: true, exit: 5, end: 'complete', size: [80, 24], resizes: ['132x43'] }),
  },
  {
    name: 'sftp names',
    claim: 'writes, lists, renames and removes files with odd names, and folders',
    sessions: 1,
    async run(peer, place) {
      const [there, back] = [join(place.folder, 'there'), join(place.folder, 'back')];
      mkdirSync(back);
      const steps: Words[] = [['mkdir', there]];
      names.forEach((name, index) => steps.push(['put', file(place, `from-${index}`, name), join(there, name)]));
      steps.push(['list', there]);
      names.forEach((name, index) =>
        steps.push(
          ['size', join(there, name)],
          ['get', join(there, name), join(back, String(index))],
          ['rename', join(there, name), join(there, `${name}.renamed`)],
        ),
      );
      names.slice(1).forEach((name) => steps.push(['remove', join(there, `${name}.renamed`)]));
      steps.push(['mkdir', join(there, 'sub folder')], ['rmdir', join(there, 'sub folder')], ['list', there]);
      const answers = await peer.ask([place.auth, 'sftp', script(place, steps)]);
      const listed = answers.filter(([word]) => word === 'name').map(([, name]) => name!);
      return {
        errors: answers.filter(([word]) => word === 'error'),
        done: answers.filter(([word]) => word === 'ok').length === steps.length,
        sizes: answers.filter(([word]) => word === 'size').map(([, size]) => Number(size)),
        first: listed.slice(0, names.length).sort(),
        second: listed.slice(names.length),
        back: names.map((_, index) => text(place, join('back', String(index)))),
      };
    },
    seen: () => ({
      errors: [],
      done: true,
      sizes: names.map((name) => Buffer.byteLength(name)),
      first: [...names].sort(),
      second: [`${names[0]}.renamed`],
      back: [...names],
    }),
    recorded: ([recording]) => ({ ...outline(recording!), exit: undefined, operations: operations(recording!) }),
    record(place) {
      const at = (...parts: readonly string[]): string => join(place.folder, 'there', ...parts);
      return {
        ...sftp,
        operations: [
          { operation: 'mkdir', path: join(place.folder, 'there'), outcome: 'success' },
          ...names.map((name) => transfer('write', at(name), name)),
          ...names.flatMap((name) => [
            transfer('read', at(name), name),
            { operation: 'rename', path: at(name), outcome: 'success', target: at(`${name}.renamed`) },
          ]),
          ...names.slice(1).map((name) => ({ operation: 'remove', path: at(`${name}.renamed`), outcome: 'success' })),
          { operation: 'mkdir', path: at('sub folder'), outcome: 'success' },
          { operation: 'rmdir', path: at('sub folder'), outcome: 'success' },
        ],
      };
    },
  },
  {
    name: 'sftp symlink',
    claim: 'makes a symbolic link that points to the requested target',
    sessions: 1,
    async run(peer, place) {
      const link = join(place.folder, 'link');
      const answers = await peer.ask([
        place.auth,
        'sftp',
        script(place, [
          ['symlink', join(place.folder, 'the target'), link],
          ['readlink', link],
        ]),
      ]);
      let onDisk: string;
      try {
        onDisk = readlinkSync(link);
      } catch (error) {
        onDisk = (error as Error).message;
      }
      return { answers, onDisk };
    },
    seen: (place) => ({
      answers: [['ok'], ['target', join(place.folder, 'the target')], ['ok']],
      onDisk: join(place.folder, 'the target'),
    }),
    recorded: ([recording]) => ({ ...outline(recording!), exit: undefined, operations: operations(recording!) }),
    record: (place) => ({
      ...sftp,
      operations: [
        { operation: 'symlink', path: join(place.folder, 'link'), outcome: 'success', target: join(place.folder, 'the target') },
      ],
    }),
  },
  {
    name: 'sftp 6 MB',
    claim: 'moves 6 MB each way unchanged',
    sessions: 1,
    async run(peer, place) {
      const there = join(place.folder, 'there');
      const back = join(place.folder, 'back');
      const answers = await peer.ask([
        place.auth,
        'sftp',
        script(place, [
          ['put', place.bulk, there],
          ['get', there, back],
        ]),
      ]);
      return { answers, there: sha256(readFileSync(there)), back: sha256(readFileSync(back)) };
    },
    seen(place) {
      const digest = sha256(readFileSync(place.bulk));
      return { answers: [['ok'], ['ok']], there: digest, back: digest };
    },
    recorded: ([recording]) => ({ ...outline(recording!), exit: undefined, operations: operations(recording!) }),
    record(place) {
      const bytes = readFileSync(place.bulk);
      return {
        ...sftp,
        operations: [transfer('write', join(place.folder, 'there'), bytes), transfer('read', join(place.folder, 'there'), bytes)],
      };
    },
  },
  {
    name: 'local forward',
    claim: 'forwards a connection to a port that the node reaches',
    sessions: 1,
    async run(peer, place) {
      const answers = await peer.ask([place.auth, 'local', '127.0.0.1', String(place.echoPort), place.sample, place.folder]);
      return { answers, back: sha256(readFileSync(join(place.folder, 'stdout'))) };
    },
    seen: (place) => ({ answers: [], back: sha256(readFileSync(place.sample)) }),
    recorded: ([recording]) => ({ ...outline(recording!), forwards: forwards(recording!), totals: totals(recording!) }),
    record(place) {
      const bytes = readFileSync(place.sample);
      return {
        ...forward,
        forwards: [{ direction: 'local', address: '127.0.0.1', port: place.echoPort }],
        totals: ['in', 'out'].map((stream) => total(stream, bytes.length, sha256(bytes))),
      };
    },
  },
  {
    name: 'remote forward',
    claim: 'takes connections to a port of the node',
    sessions: 1,
    async run(peer, place) {
      const sample = readFileSync(place.sample);
      let back: Promise<Buffer> | undefined;
      const answers = await peer.ask([place.auth, 'remote'], ([word, port]) => {
        if (word === 'port') back = sentBack(Number(port), sample);
      });
      return { answers: answers.map(([word]) => word), back: sha256(await back!) };
    },
    seen: (place) => ({ answers: ['port'], back: sha256(readFileSync(place.sample)) }),
    recorded: ([recording]) => ({
      ...outline(recording!),
      forwards: forwards(recording!).map((open) => (open as { direction: string }).direction),
      totals: totals(recording!),
    }),
    record(place) {
      const bytes = readFileSync(place.sample);
      return { ...forward, forwards: ['remote'], totals: ['in', 'out'].map((stream) => total(stream, bytes.length, sha256(bytes))) };
    },
  },
  {
    name: 'rekey',
    claim: 'rekeys every megabyte while 6 MB go there and back',
    sessions: 1,
    async run(peer, place) {
      const answers = await peer.ask([place.auth, 'rekey', place.bulk, place.folder]);
      return { answers, stdout: sha256(readFileSync(join(place.folder, 'stdout'))) };
    },
    seen: (place) => ({ answers: [['exit', '0']], stdout: sha256(readFileSync(place.bulk)) }),
    recorded: ([recording]) => ({ ...outline(recording!), totals: totals(recording!) }),
    record(place) {
      const bytes = readFileSync(place.bulk);
      return { ...exec(0), totals: ['in', 'out'].map((stream) => total(stream, bytes.length, sha256(bytes))) };
    },
  },
  {
    name: 'two at once',
    claim: 'runs two commands over one connection, each waiting for the other',
    sessions: 2,
    async run(peer, place) {
      const command = (mine: number, other: number): string =>
        file(
          place,
          `command${mine}`,
          `touch ${place.folder}/${mine}; until [ -e ${place.folder}/${other} ]; do sleep 0.02; done; echo ${mine}; exit ${mine}`,
        );
      const answers = await peer.ask([place.auth, 'two', command(1, 2), command(2, 1), place.folder]);
      return { answers, stdout: [text(place, 'stdout1'), text(place, 'stdout2')] };
    },
    seen: () => ({ answers: [['exit', '1', '2']], stdout: ['1\n', '2\n'] }),
    recorded: (recordings) => recordings.map(outline).sort((a, b) => (a as { exit: number }).exit - (b as { exit: number }).exit),
    record: () => [exec(1), exec(2)],
  },
];

/** Checked over everything that a peer did; not a request of its own. */
export const CLEAN_CLOSE = {
  name: 'clean close',
  claim: 'closes every connection so that no session is left open or cut off, and ends with status 0',
} as const;
