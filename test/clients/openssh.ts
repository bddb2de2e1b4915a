/** OpenSSH's own programs with their options, at Steno and at a plain sshd, and what the recordings say. */
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '#runtime/http/free-port.js';
import { background, exchange } from '../end-to-end/client-tools.js';
import { outline, sha256 } from './recordings.js';
import type { Recording } from './recordings.js';
import type { Scene, Server } from './scene.js';

export interface OptionCase {
  readonly option: string;
  readonly claim: string;
  /** Number of sessions that the case records at Steno. */
  readonly sessions: number;
  readonly run: (scene: Scene, server: Server, folder: string) => Promise<unknown>;
  readonly seen: (scene: Scene, folder: string) => unknown;
  readonly record: readonly object[];
}

const exec = (exit: number): object => ({ kind: 'exec', tty: false, end: 'complete', exit });
const forward = { kind: 'forward', tty: false, end: 'complete', exit: null };
const files = { kind: 'sftp', tty: false, end: 'complete' };

/** The compared properties of the sessions of one case, regardless of order. */
export const outlines = (recordings: readonly Recording[]): readonly object[] =>
  sorted(
    recordings.map((recording) => {
      const { exit, ...rest } = outline(recording) as { readonly kind: string; readonly exit: number | null };
      // Whether sftp has an exit code depends on which end closes first.
      return rest.kind === 'sftp' ? rest : { ...rest, exit };
    }),
  );

export const sorted = (rows: readonly object[]): readonly object[] =>
  [...rows].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

/** A case of ssh with these options and a command. */
function command(option: string, claim: string, options: readonly string[], line: string, stdout: string, exit = 0): OptionCase {
  return {
    option,
    claim,
    sessions: 1,
    async run(scene, server) {
      const { status, stdout: printed } = await scene.steno.exec('ssh', [...server.options, ...options, server.target, line], {
        env: { LC_STENO: 'sent', LANG: 'C.UTF-8' },
      });
      return { status, printed };
    },
    seen: () => ({ status: exit, printed: stdout }),
    record: [exec(exit)],
  };
}

async function tunnel(
  scene: Scene,
  server: Server,
  options: readonly string[],
  use: (allocated: number) => Promise<Buffer>,
): Promise<unknown> {
  const ssh = background(scene.steno, 'ssh', [
    ...server.options,
    '-o',
    'ExitOnForwardFailure=yes',
    ...options,
    server.target,
    'echo up; read line',
  ]);
  const allocated = options.includes('-R') ? Number((await ssh.until(/Allocated port (\d+)/))[1]) : 0;
  await ssh.until(/^up/m);
  const back = sha256(await use(allocated));
  ssh.write('\n');
  return { back, status: await ssh.ended };
}

const carried = (scene: Scene): unknown => ({ back: sha256(readFileSync(scene.sample)), status: 0 });

/** A command on a machine behind the server: the same sshd again, or a node of Steno. */
function jump(option: string, claim: string, options: (server: Server) => readonly string[]): OptionCase {
  return {
    option,
    claim,
    sessions: 1,
    async run(scene, server) {
      const { status, stdout } = await scene.steno.exec('ssh', [...options(server), ...server.behind, 'echo jumped; exit 5']);
      return { status, stdout };
    },
    seen: () => ({ status: 5, stdout: 'jumped\n' }),
    record: [exec(5)],
  };
}

export const optionCases: readonly OptionCase[] = [
  jump('-J', 'jumps through the server', (server) => ['-F', server.identity, '-J', server.jump]),
  jump('ProxyCommand', 'jumps through the server by ssh -W', (server) => [
    '-F',
    server.identity,
    '-o',
    `ProxyCommand=ssh -F ${server.identity} -W %h:%p ssh://${server.jump}`,
  ]),
  command('SendEnv', 'passes LANG and LC_*', ['-o', 'SendEnv=LC_STENO'], 'echo $LC_STENO', 'sent\n'),
  command('SetEnv', 'passes LC_*', ['-o', 'SetEnv=LC_OTHER=set'], 'echo $LC_OTHER', 'set\n'),
  command('IPQoS', 'has no effect', ['-o', 'IPQoS=af21 cs1'], 'echo ok', 'ok\n'),
  command('Compression', 'is accepted, and need not be used', ['-C'], 'echo ok', 'ok\n'),
  command('-T', 'has no terminal', ['-T'], 'tty; exit 4', 'not a tty\n', 4),
  command('-n', 'has no input', ['-n'], 'cat; echo end', 'end\n'),
  command(
    '-o ServerAliveInterval',
    'is answered',
    ['-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=1'],
    'sleep 2.5; echo alive',
    'alive\n',
  ),
  {
    option: '-tt',
    claim: 'gives a command a terminal, whose size changes',
    sessions: 1,
    async run(scene, server) {
      const terminal = scene.steno.terminal(
        'ssh',
        [...server.options, '-tt', server.target, 'stty size; until [ "$(stty size)" = "43 132" ]; do sleep 0.05; done; stty size; exit 6'],
        { cols: 80, rows: 24 },
      );
      await terminal.until(/24 80/);
      // A signal tells ssh, at an unknown time.
      terminal.resize(132, 43);
      const status = await terminal.ended;
      return { status, changed: /43 132/.test(terminal.text()) };
    },
    seen: () => ({ status: 6, changed: true }),
    record: [{ kind: 'exec', tty: true, end: 'complete', exit: 6 }],
  },
  {
    option: '-s',
    claim: 'asks for the subsystem sftp',
    sessions: 1,
    async run(scene, server) {
      // SSH_FXP_INIT of version 3, and its answer.
      const ssh = background(scene.steno, 'ssh', [...server.options, '-s', server.target, 'sftp']);
      ssh.write('\0\0\0\x05\x01\0\0\0\x03');
      await ssh.until(/\x02\0\0\0\x03/);
      await ssh.stop();
      return 'version 3';
    },
    seen: () => 'version 3',
    record: [files],
  },
  {
    option: 'RekeyLimit',
    claim: 'rekeys every megabyte of 6 MB each way',
    sessions: 1,
    async run(scene, server) {
      const { status, stdout } = await scene.steno.exec('ssh', [...server.options, '-o', 'RekeyLimit=1M', server.target, 'base64 -w0'], {
        input: readFileSync(scene.bulk),
      });
      return { status, back: sha256(Buffer.from(stdout, 'base64')) };
    },
    seen: (scene) => ({ status: 0, back: sha256(readFileSync(scene.bulk)) }),
    record: [exec(0)],
  },
  {
    option: 'ControlMaster',
    claim: 'runs several commands at once over one connection, closed with -O exit',
    sessions: 2,
    async run(scene, server, folder) {
      const control = [...server.options, '-o', `ControlPath=${join(folder, 'cm')}`];
      const master = background(scene.steno, 'ssh', [...control, '-M', '-N', server.target]);
      const check = async (): Promise<number> => (await scene.steno.exec('ssh', [...control, '-O', 'check', server.target])).status;
      while ((await check()) !== 0) await new Promise((resolve) => setTimeout(resolve, 50));
      const each = (mine: number, other: number) =>
        scene.steno.exec('ssh', [
          ...control,
          server.target,
          `touch ${folder}/${mine}; until [ -e ${folder}/${other} ]; do sleep 0.02; done; exit ${mine}`,
        ]);
      const statuses = (await Promise.all([each(1, 2), each(2, 1)])).map(({ status }) => status);
      const { status: asked } = await scene.steno.exec('ssh', [...control, '-O', 'exit', server.target]);
      await master.ended;
      return { statuses, asked };
    },
    seen: () => ({ statuses: [1, 2], asked: 0 }),
    record: [exec(1), exec(2)],
  },
  {
    option: '-L',
    claim: 'forwards a local port',
    sessions: 2,
    async run(scene, server) {
      const port = await freePort();
      return tunnel(scene, server, ['-L', `${port}:127.0.0.1:${scene.echo.port}`], () => exchange(port, readFileSync(scene.sample)));
    },
    seen: carried,
    record: [exec(0), forward],
  },
  {
    option: '-R',
    claim: 'forwards a port of the node',
    sessions: 2,
    run: (scene, server) =>
      tunnel(scene, server, ['-R', `0:127.0.0.1:${scene.echo.port}`], (port) => exchange(port, readFileSync(scene.sample))),
    seen: carried,
    record: [exec(0), forward],
  },
  {
    option: '-D',
    claim: 'is a SOCKS proxy',
    sessions: 2,
    async run(scene, server) {
      const port = await freePort();
      return tunnel(scene, server, ['-D', String(port)], () =>
        exchange(port, readFileSync(scene.sample), { host: '127.0.0.1', port: scene.echo.port }),
      );
    },
    seen: carried,
    record: [exec(0), forward],
  },
  {
    option: '-W',
    claim: 'carries one connection on standard input and output',
    sessions: 1,
    async run(scene, server) {
      const { status, stdout } = await scene.steno.exec('ssh', [...server.options, '-W', `127.0.0.1:${scene.echo.port}`, server.target], {
        input: 'through -W\n',
      });
      return { status, stdout };
    },
    seen: () => ({ status: 0, stdout: 'through -W\n' }),
    record: [forward],
  },
  {
    option: '-N',
    claim: 'opens no session, and ends on a signal',
    sessions: 1,
    async run(scene, server) {
      const port = await freePort();
      const ssh = background(scene.steno, 'ssh', [
        ...server.options,
        '-v',
        '-N',
        '-L',
        `${port}:127.0.0.1:${scene.echo.port}`,
        server.target,
      ]);
      await ssh.until(/Entering interactive session/);
      const back = sha256(await exchange(port, readFileSync(scene.sample)));
      await ssh.stop();
      return back;
    },
    seen: (scene) => sha256(readFileSync(scene.sample)),
    record: [forward],
  },
  {
    option: 'sftp',
    claim: 'puts, gets, links, renames and lists by a batch',
    sessions: 1,
    async run(scene, server, folder) {
      mkdirSync(join(folder, 'there'));
      writeFileSync(
        join(folder, 'batch'),
        [
          `put "${scene.sample}" "${folder}/there/a name"`,
          `rename "${folder}/there/a name" "${folder}/there/renamed"`,
          `symlink "${folder}/there/renamed" "${folder}/there/link"`,
          `get "${folder}/there/renamed" "${folder}/back"`,
          `ls -1 "${folder}/there"`,
          '',
        ].join('\n'),
      );
      const { status } = await scene.steno.exec('sftp', [...server.options, '-b', join(folder, 'batch'), server.target]);
      return { status, link: readlinkSync(join(folder, 'there', 'link')), back: sha256(readFileSync(join(folder, 'back'))) };
    },
    seen: (scene, folder) => ({ status: 0, link: join(folder, 'there', 'renamed'), back: sha256(readFileSync(scene.sample)) }),
    record: [files],
  },
  {
    option: 'scp',
    claim: 'copies a folder there and back',
    sessions: 2,
    async run(scene, server, folder) {
      mkdirSync(join(folder, 'from'));
      writeFileSync(join(folder, 'from', 'a file'), 'content\n');
      const up = await scene.steno.exec('scp', [
        '-r',
        ...server.options,
        join(folder, 'from'),
        `${server.target}:${join(folder, 'there')}`,
      ]);
      const down = await scene.steno.exec('scp', [
        '-r',
        ...server.options,
        `${server.target}:${join(folder, 'there')}`,
        join(folder, 'back'),
      ]);
      return { statuses: [up.status, down.status], back: readFileSync(join(folder, 'back', 'a file'), 'utf8') };
    },
    seen: () => ({ statuses: [0, 0], back: 'content\n' }),
    record: [files, files],
  },
];
