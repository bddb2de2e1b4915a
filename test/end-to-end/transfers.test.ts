/** Records of transfers: files with size and digest, totals of streams, gaps for bytes that were not kept. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import { parseHeader, parseLine } from '#schemas/recording/line.js';
import type { FileFact, RecordingHeader, RecordingLine, StreamFact } from '#schemas/recording/line.js';
import { background, echoServer, exchange, gatewayOf, git, must, puttyKey, sessionsOf, viewerOf } from './client-tools.js';
import type { Viewer } from './client-tools.js';
import { Steno, eventually } from './machine.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';

const steno = new Steno();
let stock: StockNode;
let gateway: Awaited<ReturnType<typeof gatewayOf>>;
let viewer: Viewer;

const path = (...names: readonly string[]): string => join(steno.folder, ...names);
const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

const files: Readonly<Record<string, Buffer>> = {
  'big.bin': randomBytes(3_000_000),
  'small.txt': Buffer.from('hello, files\n'),
  'a name.txt': Buffer.from('with a space\n'),
  empty: Buffer.alloc(0),
};
const names = Object.keys(files);

interface Recording {
  readonly header: RecordingHeader;
  readonly lines: readonly RecordingLine[];
  readonly facts: readonly StreamFact[];
}

async function recordingOf({ id }: SessionInfo): Promise<Recording> {
  const [first, ...rest] = (await viewer.cast(id)).trimEnd().split('\n');
  const lines = rest.map((line) => parseLine(line)!);
  return { header: parseHeader(first!), lines, facts: lines.flatMap((line) => (line.code === 's' ? [line.data] : [])) };
}

/** The recording of the one session of `act`. */
async function recorded(act: () => Promise<unknown>, count = 1): Promise<readonly Recording[]> {
  const rows = await sessionsOf(viewer, count, async () => void (await act()));
  expect(rows).toHaveLength(count);
  return Promise.all(rows.map(recordingOf));
}

const contents = ({ facts }: Recording, operation: FileFact['operation']): FileFact[] =>
  facts.filter((fact): fact is FileFact => fact.fact === 'file' && fact.operation === operation);

const totals = ({ facts }: Recording) =>
  facts.flatMap((fact) => (fact.fact === 'total' ? [{ stream: fact.stream, bytes: fact.bytes, sha256: fact.sha256 }] : []));

/** The bytes of a stream that were kept: text lines and raw lines, in order. */
function kept({ lines }: Recording, stream: 'in' | 'out'): Buffer {
  return Buffer.concat(
    lines.flatMap((line) => {
      if (line.code === 'b' && line.data.stream === stream) return [Buffer.from(line.data.base64, 'base64')];
      return line.code === (stream === 'in' ? 'i' : 'o') ? [Buffer.from(line.data as string)] : [];
    }),
  );
}

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  [stock, gateway] = await Promise.all([startStockNode(steno, 'stock'), gatewayOf(steno)]);
  viewer = viewerOf(steno);
  mkdirSync(path('source'));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(path('source', name), bytes);
});
afterAll(async () => {
  await stock?.stop();
  await steno.dispose();
});

describe.each(['local', 'stock'])('to and from node %s', (node) => {
  const host = `${steno.login}@${node}.steno`;

  interface Copy {
    readonly protocol: FileFact['protocol'];
    /** The path in the recording of a file's copy below `folder` on the node. */
    readonly named: (folder: string, name: string) => string;
    /** Copies every file from `from` to the folder `to`, one of which is on the node. */
    readonly up: (from: string, to: string) => Promise<unknown>;
    readonly down: (from: string, to: string) => Promise<unknown>;
  }
  const whole = (folder: string, name: string): string => join(folder, name);
  const batch = (command: string, from: string, to: string): string => {
    const file = path(`batch-${node}-${command}`);
    writeFileSync(file, names.map((name) => `${command} "${join(from, name)}" "${join(to, name)}"\n`).join(''));
    return file;
  };
  const sources = (from: string): string[] => names.map((name) => join(from, name));
  const sftp = (command: string) => (from: string, to: string) =>
    must(steno.exec('sftp', ['-F', steno.config, '-b', batch(command, from, to), host]));
  const psftp = (command: string) => async (from: string, to: string) =>
    must(
      steno.exec('psftp', [
        ...(await puttyKey(steno)),
        '-hostkey',
        gateway.fingerprint,
        '-P',
        gateway.port,
        '-l',
        `${steno.login}@${node}`,
        '-b',
        batch(command, from, to),
        gateway.host,
      ]),
    );
  const scp = (...options: readonly string[]): Pick<Copy, 'up' | 'down'> => ({
    up: (from, to) => must(steno.exec('scp', [...options, '-F', steno.config, ...sources(from), `${host}:${to}/`])),
    down: (from, to) => must(steno.exec('scp', [...options, '-r', '-F', steno.config, `${host}:${from}`, to])),
  });
  const rsync = (from: string, to: string) => must(steno.exec('rsync', ['-rt', '-e', `ssh -F ${steno.config}`, from, to]));

  const copies: Readonly<Record<string, Copy>> = {
    sftp: { protocol: 'sftp', named: whole, up: sftp('put'), down: sftp('get') },
    scp: { protocol: 'sftp', named: whole, ...scp() },
    'scp -O': { protocol: 'scp', named: whole, ...scp('-O') },
    psftp: { protocol: 'sftp', named: whole, up: psftp('put'), down: psftp('get') },
    rsync: {
      protocol: 'rsync',
      named: whole,
      up: (from, to) => rsync(`${from}/`, `${host}:${to}/`),
      down: (from, to) => rsync(`${host}:${from}/`, `${to}/`),
    },
  };

  it.each(Object.entries(copies))(
    '%s leaves every file with path, size and SHA-256, both ways',
    async (client, { protocol, named, up, down }) => {
      const folder = path(`${node}-${client.replace(' ', '')}`);
      const there = join(folder, 'there');
      const back = join(folder, 'back');
      for (const each of [folder, there, back]) mkdirSync(each);
      const expected = (on: string, operation: FileFact['operation']): object[] =>
        names.map((name) => ({
          fact: 'file',
          protocol,
          operation,
          path: named(on, name),
          size: files[name]!.length,
          sha256: sha256(files[name]!),
          outcome: 'success',
        }));
      const comparable = (facts: readonly FileFact[]): object[] =>
        facts.map(({ fact, protocol: by, operation, path: where, size, sha256: digest, outcome }) => ({
          fact,
          protocol: by,
          operation,
          path: where,
          size,
          sha256: digest,
          outcome,
        }));

      const [sent] = await recorded(() => up(path('source'), there));
      for (const name of names) expect(readFileSync(join(there, name)).equals(files[name]!)).toBe(true);
      expect(comparable(contents(sent!, 'write')).sort(byPath)).toEqual(expected(there, 'write').sort(byPath));

      const [fetched] = await recorded(() => down(path('source'), back));
      expect(comparable(contents(fetched!, 'read')).sort(byPath)).toEqual(expected(path('source'), 'read').sort(byPath));
    },
  );

  it('git: fetches and pushes are recorded', async () => {
    const bare = path(`there-${node}.git`);
    const seed = path(`seed-${node}`);
    await git(steno, steno.folder, 'init', '-q', '--bare', bare);
    await git(steno, steno.folder, 'init', '-q', seed);
    await git(steno, seed, 'commit', '-q', '--allow-empty', '-m', 'first');
    const head = (await git(steno, seed, 'rev-parse', 'HEAD')).stdout.trim();
    const [pushed, cloned] = await recorded(async () => {
      await git(steno, seed, 'push', '-q', `${host}:${bare}`, 'main');
      await git(steno, steno.folder, 'clone', '-q', '-b', 'main', `${host}:${bare}`, path(`clone-${node}`));
    }, 2);
    expect(contents(pushed!, 'push')).toEqual([
      expect.objectContaining({ protocol: 'git', path: expect.stringContaining(bare) as unknown, outcome: 'success' }),
    ]);
    expect(JSON.stringify(contents(pushed!, 'push'))).toContain(head.slice(0, 12));
    expect(contents(cloned!, 'fetch')).toEqual([
      expect.objectContaining({ protocol: 'git', path: expect.stringContaining(bare) as unknown, outcome: 'success' }),
    ]);
  });

  it('a command without a terminal is recorded: command line, both streams, status', async () => {
    const [recording] = await recorded(() => steno.ssh(host, 'echo to-stdout; echo to-stderr >&2; exit 3'));
    expect((await steno.steno('export', recording!.header.steno.session, '--format', 'cast')).stdout).toBe(
      await viewer.cast(recording!.header.steno.session),
    );
    expect(recording!.facts).toContainEqual({ fact: 'exec', command: 'echo to-stdout; echo to-stderr >&2; exit 3' });
    expect(kept(recording!, 'out').toString()).toMatch(/to-stdout\n/);
    expect(kept(recording!, 'out').toString()).toMatch(/to-stderr\n/);
    expect(recording!.lines).toContainEqual(expect.objectContaining({ code: 'x', data: '3' }));
    expect(totals(recording!)).toEqual(
      expect.arrayContaining([
        { stream: 'out', bytes: 10, sha256: sha256('to-stdout\n') },
        { stream: 'err', bytes: 10, sha256: sha256('to-stderr\n') },
      ]),
    );
  });

  it('a command without a terminal is recorded in full, whatever its bytes', async () => {
    const body = files['big.bin']!;
    const [recording] = await recorded(() => steno.exec('ssh', ['-F', steno.config, host, 'cat'], { input: body }));
    expect(recording!.header.steno.recording).toEqual({ mode: 'strict', streams: 'commands', limit: 1 << 20 });
    for (const stream of ['in', 'out'] as const) {
      expect(kept(recording!, stream).equals(body)).toBe(true);
      expect(totals(recording!)).toContainEqual({ stream, bytes: body.length, sha256: sha256(body) });
    }
    expect(recording!.lines.filter(({ code }) => code === 'g')).toEqual([]);
  });

  it('forwarded ports are recorded with destination, origin, byte counts and digests', async () => {
    const echo = await echoServer();
    const port = await freePort();
    const sent = randomBytes(200_000);
    const recordings = await recorded(async () => {
      const tunnel = background(steno, 'ssh', [
        '-F',
        steno.config,
        '-o',
        'ExitOnForwardFailure=yes',
        '-L',
        `${port}:127.0.0.1:${echo.port}`,
        '-R',
        `0:127.0.0.1:${echo.port}`,
        host,
        'echo up; read line',
      ]);
      const [, remote] = await tunnel.until(/Allocated port (\d+) for remote forward/);
      await tunnel.until(/^up/m);
      expect(sha256(await exchange(port, sent))).toBe(sha256(sent));
      expect(sha256(await exchange(Number(remote), sent))).toBe(sha256(sent));
      tunnel.write('\n');
      await tunnel.ended;
    }, 2);
    await echo.close();
    const { facts } = recordings.find(({ header }) => header.steno.kind === 'forward')!;
    expect(facts).toContainEqual(
      expect.objectContaining({
        fact: 'forward_open',
        direction: 'local',
        address: '127.0.0.1',
        port: echo.port,
        origin_address: '127.0.0.1',
      }),
    );
    expect(facts).toContainEqual(expect.objectContaining({ fact: 'forward_open', direction: 'remote', origin_address: '127.0.0.1' }));
    for (const channel of [1, 2]) {
      for (const stream of ['in', 'out'])
        expect(facts).toContainEqual({ fact: 'total', stream, channel, bytes: sent.length, sha256: sha256(sent) });
      expect(facts).toContainEqual({ fact: 'forward_close', channel });
    }
  });
});

describe('a role with full streams', () => {
  it('keeps every byte without a gap', async () => {
    const role = {
      kind: 'role',
      name: 'admin',
      allow: { nodes: { '*': '*' }, logins: ['*', 'root', '{user}'] },
      view: 'all',
      administer: true,
      recording: { mode: 'strict', streams: 'full' },
    };
    writeFileSync(path('role.yaml'), JSON.stringify(role));
    await must(steno.steno('apply', '-f', path('role.yaml')));
    // The gateway learns of the change shortly after the command returns.
    await eventually(
      async () => (await recorded(() => steno.ssh(`${steno.login}@local.steno`, 'true')))[0]!.header.steno.recording.streams,
      (streams) => streams === 'full',
    );
    const body = files['big.bin']!;
    for (const node of ['local', 'stock']) {
      const [recording] = await recorded(() =>
        steno.exec('ssh', ['-F', steno.config, `${steno.login}@${node}.steno`, 'cat'], { input: body }),
      );
      for (const stream of ['in', 'out'] as const) {
        expect(kept(recording!, stream).equals(body)).toBe(true);
        expect(totals(recording!)).toContainEqual({ stream, bytes: body.length, sha256: sha256(body) });
      }
      expect(recording!.lines.filter(({ code }) => code === 'g')).toEqual([]);
    }
  });
});

function byPath(a: object, b: object): number {
  return (a as FileFact).path < (b as FileFact).path ? -1 : 1;
}
