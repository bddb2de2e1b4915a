import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openWorld } from '../../testing/harness.js';
import type { Recording } from '../../testing/line-recorder.js';
import type { World } from '../../testing/harness.js';

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.close());

const ssh = (...args: string[]) => world.run('ssh', ['-F', world.sshConfig, ...args]);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
/** The recordings that `work` makes, once all are closed. */
async function recorded(work: () => Promise<unknown>): Promise<readonly Recording[]> {
  const before = world.recorder.recordings().length;
  await work();
  while (world.recorder.live.size > 0) await new Promise(setImmediate);
  return world.recorder.recordings().slice(before);
}
/** Bytes without repetition, cheap to make. */
function noise(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
  return bytes;
}

describe('ways to a node', () => {
  it.each([
    ['ssh -J', ['root@node-1', 'echo hello']],
    ['the pseudo domain', ['root@node-1.steno', 'echo hello']],
    ['login@node@gateway', ['-l', 'root@node-1', 'gw', 'echo hello']],
  ])('%s runs a command', async (_name, args) => {
    const { status, stdout, stderr } = await ssh(...args);
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'hello\n', stderr: '' });
  });
});

describe('commands', () => {
  it('pass output, errors, status and environment, and are recorded with them', async () => {
    const recordings = await recorded(async () => {
      const { status, stdout, stderr } = await world.run(
        'ssh',
        ['-F', world.sshConfig, '-o', 'SendEnv=STENO_COLOUR', 'root@node-1', 'echo "$STENO_COLOUR"; echo bad >&2; exit 7'],
        { env: { STENO_COLOUR: 'blue' } },
      );
      expect({ status, stdout, stderr }).toEqual({ status: 7, stdout: 'blue\n', stderr: 'bad\n' });
    });
    const [recording] = recordings;
    expect(recordings).toHaveLength(1);
    expect(recording!.header).toMatchObject({
      command: 'echo "$STENO_COLOUR"; echo bad >&2; exit 7',
      steno: {
        kind: 'exec',
        tty: false,
        user: 'alice',
        roles: ['admin'],
        node: 'node-1',
        login: 'root',
        source_address: '127.0.0.1',
        client_version: expect.stringMatching(/^OpenSSH/),
      },
    });
    expect(recording!.bytes('out').toString()).toBe('blue\n');
    expect(recording!.bytes('err').toString()).toBe('bad\n');
    expect(recording!.exit).toBe('7');
    expect(recording!.facts('environment')).toEqual([{ fact: 'environment', name: 'STENO_COLOUR', value: 'blue' }]);
  });

  it.each([
    ['directly', 'gw', 'root@node-1'],
    ['through a jump', 'node-1', 'root'],
  ])('record the connection by which their client came (%s)', async (_way, host, user) => {
    const before = Date.now();
    const [recording] = await recorded(async () => {
      const { status, stderr } = await world.run('ssh', ['-v', '-F', world.sshConfig, '-l', user, host, 'true']);
      expect(status, stderr).toBe(0);
    });
    const [joined] = recording!.lines.flatMap((line) => (line.code === 'j' ? [line.data] : []));
    expect(joined).toMatchObject({ source_address: '127.0.0.1', connection: { address: '127.0.0.1', port: world.port } });
    expect(joined!.connection!.source_port).toBeGreaterThan(1023);
    expect(joined!.connection!.machine).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
    expect(joined!.connection!.accepted_at).toBeGreaterThanOrEqual(before);
    expect(joined!.connection!.accepted_at).toBeLessThanOrEqual(Date.now());
  });

  it('pass on the signal that ended them', async () => {
    const [recording] = await recorded(async () => expect((await ssh('root@node-1', 'kill -TERM $$')).status).toBe(255));
    expect(recording!.exit).toBe('TERM');
  });

  it.each([
    ['ssh -J', ['root@node-1']],
    ['login@node@gateway', ['-l', 'root@node-1', 'gw']],
  ])('carry large data both ways unchanged over %s, and half-close', async (_name, way) => {
    const data = noise(12 * 1024 * 1024);
    const file = join(world.directory, 'noise');
    writeFileSync(file, data);
    const [recording] = await recorded(async () => {
      const { stdout, status } = await world.run('sh', [
        '-c',
        `ssh -F ${world.sshConfig} ${way.join(' ')} 'cat; echo done >&2' < ${file} | sha256sum`,
      ]);
      expect(status).toBe(0);
      expect(stdout.slice(0, 64)).toBe(sha256(data));
    });
    expect(sha256(recording!.bytes('in'))).toBe(sha256(data));
    expect(sha256(recording!.bytes('out'))).toBe(sha256(data));
    expect(recording!.bytes('err').toString()).toBe('done\n');
  });

  it('survive rekeying on the way', async () => {
    const data = noise(4 * 1024 * 1024);
    const file = join(world.directory, 'noise');
    writeFileSync(file, data);
    const { stdout, status } = await world.run('sh', [
      '-c',
      `ssh -F ${world.sshConfig} -o RekeyLimit=512K root@node-1 cat < ${file} | sha256sum`,
    ]);
    expect({ status, sum: stdout.slice(0, 64) }).toEqual({ status: 0, sum: sha256(data) });
    const direct = await world.run('sh', [
      '-c',
      `ssh -F ${world.sshConfig} -o RekeyLimit=512K -l root@node-1 gw cat < ${file} | sha256sum`,
    ]);
    expect(direct.stdout.slice(0, 64)).toBe(sha256(data));
  });

  it.each(['chacha20-poly1305@openssh.com', 'aes256-ctr', 'aes256-gcm@openssh.com'])('work with cipher %s', async (cipher) => {
    expect(await ssh('-o', `Ciphers=${cipher}`, '-l', 'root@node-1', 'gw', 'echo hello')).toMatchObject({ status: 0, stdout: 'hello\n' });
  });
});

describe('terminals', () => {
  it('have a size, a type and modes, all of them recorded', async () => {
    const [recording] = await recorded(async () => {
      // `script` gives ssh a terminal; the node gets the size of that terminal.
      const { stdout } = await world.run(
        'script',
        [
          '-qec',
          `stty rows 31 cols 99; ssh -tt -F ${world.sshConfig} root@node-1 'stty size; echo $TERM; tty >/dev/null && echo a-terminal'`,
          '/dev/null',
        ],
        { env: { TERM: 'xterm-256color' } },
      );
      // `script` sends an end of file, which the terminal may echo at any moment.
      expect(stdout.replaceAll(/\^[@AD]/g, '')).toContain('31 99\r\nxterm-256color\r\na-terminal');
    });
    expect(recording!.header.term).toEqual({ cols: 99, rows: 31, type: 'xterm-256color' });
    expect(recording!.header.steno).toMatchObject({ kind: 'exec', tty: true });
  });

  it('run a shell, and follow a change of size', async () => {
    const [recording] = await recorded(async () => {
      const child = world.start('script', ['-qec', `stty rows 24 cols 80; ssh -tt -F ${world.sshConfig} root@node-1`, '/dev/null'], {
        env: { TERM: 'xterm' },
      });
      let seen = '';
      child.stdout!.on('data', (data: Buffer) => {
        seen += data.toString();
      });
      const until = async (text: string): Promise<void> => {
        while (!seen.includes(text)) await once(child.stdout!, 'data');
      };
      child.stdin!.write('PS1=; echo re""ady\r');
      await until('ready');
      // ssh is a child of `script`; its terminal is found through its process and resized from outside.
      const pty = (
        await world.run('sh', ['-c', `for p in $(pgrep -P ${child.pid}); do readlink /proc/$p/fd/0; done | head -1`])
      ).stdout.trim();
      await world.run('stty', ['-F', pty, 'rows', '40', 'cols', '132']);
      child.stdin!.write('until stty size | grep -q "40 132"; do :; done; echo resi""zed\r');
      await until('resized');
      child.stdin!.write('exit 3\r');
      await once(child, 'close');
    });
    expect(recording!.header.steno).toMatchObject({ kind: 'shell', tty: true });
    expect(recording!.lines.some((line) => line.code === 'r' && line.data === '132x40')).toBe(true);
    expect(recording!.bytes('out').toString()).toContain('ready');
    expect(recording!.exit).toBe('3');
  });
});

describe('files', () => {
  it('are transferred by sftp, by scp in both modes, by rsync and by git', async () => {
    const { directory, sshConfig } = world;
    const data = noise(300_000);
    writeFileSync(join(directory, 'source'), data);
    const remote = join(directory, 'remote');
    mkdirSync(remote);
    const same = (name: string): void => expect(sha256(readFileSync(join(remote, name)))).toBe(sha256(data));
    const ok = async (command: string, args: string[], run = {}): Promise<void> => {
      const done = await world.run(command, args, run);
      expect(done, `${command} ${done.stderr}`).toMatchObject({ status: 0 });
    };
    const recordings = await recorded(async () => {
      await ok('sftp', ['-F', sshConfig, '-b', '-', 'root@node-1'], { input: `put source ${remote}/by-sftp\n` });
      same('by-sftp');
      await ok('scp', ['-F', sshConfig, 'source', `root@node-1:${remote}/by-scp`]);
      same('by-scp');
      await ok('scp', ['-O', '-F', sshConfig, 'source', `root@node-1:${remote}/by-old-scp`]);
      same('by-old-scp');
      await ok('rsync', ['-e', `ssh -F ${sshConfig}`, 'source', `root@node-1:${remote}/by-rsync`]);
      same('by-rsync');
      await ok('sh', [
        '-c',
        `git init -q repo && cd repo && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git init -q --bare ${remote}/repo.git && GIT_SSH_COMMAND='ssh -F ${sshConfig}' git push -q root@node-1:${remote}/repo.git HEAD:refs/heads/main`,
      ]);
      expect(statSync(join(remote, 'repo.git', 'refs/heads/main')).size).toBeGreaterThan(0);
    });
    expect(recordings.map(({ header }) => header.steno.kind)).toEqual(['sftp', 'sftp', 'exec', 'exec', 'exec']);
  });
});

describe('several channels', () => {
  it('share one connection, each with a recording', async () => {
    const control = join(world.directory, 'mux');
    const recordings = await recorded(async () => {
      const options = ['-o', `ControlPath=${control}`];
      // The master stays in the background and would keep its pipes open.
      expect(
        (
          await world.run('sh', [
            '-c',
            `ssh -F ${world.sshConfig} -o ControlPath=${control} -o ControlMaster=yes -fN root@node-1 >/dev/null 2>&1`,
          ])
        ).status,
      ).toBe(0);
      const all = await Promise.all([1, 2, 3, 4, 5].map((n) => ssh(...options, 'root@node-1', `cat >/dev/null; echo ${n}; exit ${n}`)));
      expect(all.map(({ status, stdout }) => [status, stdout])).toEqual([1, 2, 3, 4, 5].map((n) => [n, `${n}\n`]));
      await ssh(...options, '-O', 'exit', 'root@node-1');
    });
    expect(recordings).toHaveLength(5);
  });
});

describe('a refusal', () => {
  const line = async (args: string[]): Promise<[number | null, string]> => {
    const { status, stderr } = await ssh(...args);
    return [status, stderr];
  };
  it('names an unknown node', async () => {
    expect(await line(['root@nowhere', 'true'])).toEqual([255, expect.stringContaining('steno: no such node: nowhere [NODE_UNKNOWN]')]);
    expect(await line(['-l', 'root@nowhere', 'gw', 'true'])).toEqual([
      255,
      expect.stringContaining('steno: no such node: nowhere [NODE_UNKNOWN]'),
    ]);
  });

  it('names a node that cannot be reached, shows another host key, or refuses', async () => {
    const { nodes } = world.authority;
    const [node] = nodes;
    try {
      world.authority.nodes = [node!, { ...node!, name: 'node-down', address: '127.0.0.1:1' }, { ...node!, name: 'node-other' }];
      expect(await line(['root@node-down', 'true'])).toEqual([
        255,
        expect.stringMatching(
          /^steno: the node cannot be reached: (node-down at 127.0.0.1:1 \(ECONNREFUSED\)|no agent of node-down is connected to this gateway) \[NODE_UNREACHABLE\]/,
        ),
      ]);
      expect(await line(['-l', 'root@node-other', 'gw', 'true'])).toEqual([255, expect.stringContaining('[NODE_HOST_KEY]')]);
      const key = world.userKey('stranger', { principals: ['no-such-login'] });
      expect(await line(['-i', key, '-o', `CertificateFile=${key}-cert.pub`, '-l', 'no-such-login@node-1', 'gw', 'true'])).toEqual([
        255,
        expect.stringContaining('[NODE_REFUSED]'),
      ]);
    } finally {
      world.authority.nodes = nodes;
    }
  });

  it('is shown in a terminal too, and to a client that only forwards', async () => {
    const { stdout } = await world.run('script', ['-qec', `ssh -tt -F ${world.sshConfig} -l root@nowhere gw`, '/dev/null']);
    expect(stdout).toContain('\r\nsteno: no such node: nowhere [NODE_UNKNOWN]\r\nsteno: Run `steno nodes`');
  });

  it('covers logins that no role permits and ports of the gateway, and explains a bare connection', async () => {
    const { roles } = world.authority;
    try {
      world.authority.roles = roles.map((role) => ({ ...role, allow: { ...role.allow, logins: ['nobody'] } }));
      expect(await line(['root@node-1', 'true'])).toEqual([255, expect.stringContaining('[ACCESS_DENIED]')]);
    } finally {
      world.authority.roles = roles;
    }
    expect(await line(['-W', 'node-1:80', 'gw'])).toEqual([255, expect.stringContaining('only port 22 of a node')]);
    expect(await line(['-W', 'example.org:22', 'gw'])).toEqual([255, expect.stringContaining('[NODE_UNKNOWN]')]);
    expect(await line(['gw'])).toEqual([255, expect.stringContaining('this is the gateway')]);
  });

  it('starts nothing if it cannot be recorded', async () => {
    const witness = join(world.directory, 'witness');
    world.recorder.full = true;
    try {
      expect(await line(['root@node-1', `touch ${witness}`])).toEqual([255, expect.stringContaining('[SPOOL_FULL]')]);
    } finally {
      world.recorder.full = false;
    }
    expect(() => statSync(witness)).toThrow();
  });
});

describe('live sessions', () => {
  async function liveSession(): Promise<{ ended: Promise<{ status: number | null; stderr: string }> }> {
    const child = world.start('ssh', ['-F', world.sshConfig, 'root@node-1', 'echo started; exec sleep 1000']);
    let stderr = '';
    child.stderr!.on('data', (data: Buffer) => {
      stderr += data.toString();
    });
    const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, stderr }));
    await once(child.stdout!, 'data');
    return { ended };
  }

  it.each([
    ['user', 'alice'],
    ['role', 'admin'],
    ['login', 'root'],
    ['node', 'node-1'],
    ['session', ''],
  ] as const)('end when their %s is locked', async (target_kind, target) => {
    const { ended } = await liveSession();
    world.authority.locks = [
      { id: '1', target_kind, target: target === '' ? [...world.recorder.live][0]! : target, reason: 'incident 7', expires_at: null },
    ];
    world.authority.changed();
    const { status, stderr } = await ended;
    const again = target_kind === 'session' ? undefined : await ssh('root@node-1', 'true');
    world.authority.locks = [];
    expect(status).toBe(255);
    expect(stderr).toContain('[LOCKED]');
    expect(stderr).toContain('incident 7');
    if (again !== undefined) expect(again).toMatchObject({ status: 255, stderr: expect.stringContaining('[LOCKED]') });
  });

  it('show why they end, and the message is recorded', async () => {
    const { ended } = await liveSession();
    world.authority.locks = [{ id: '1', target_kind: 'user', target: 'alice', reason: 'incident 8', expires_at: null }];
    world.authority.changed();
    const { stderr } = await ended;
    world.authority.locks = [];
    while (world.recorder.live.size > 0) await new Promise(setImmediate);
    expect(stderr).toContain('incident 8');
    expect(world.recorder.recordings().at(-1)!.bytes('err').toString()).toBe(stderr);
  });

  it.each([
    [true, 'end with it', 255],
    [false, 'outlive it, and nothing new begins', 0],
  ] as const)('when the certificate expires and the role says %s, %s', async (disconnect, _what, status) => {
    const { roles } = world.authority;
    world.authority.roles = roles.map((role) => ({ ...role, disconnect_expired_cert: disconnect }));
    try {
      const connect = async (seconds: number) => {
        const key = world.userKey(`brief-${disconnect}`, { validBefore: BigInt(Math.floor(Date.now() / 1000) + seconds) });
        const control = join(world.directory, `control-${disconnect}`);
        const args = [
          '-F',
          world.sshConfig,
          '-o',
          `IdentityFile=${key}`,
          '-o',
          `CertificateFile=${key}-cert.pub`,
          '-o',
          `ControlPath=${control}`,
        ];
        const child = world.start('ssh', [...args, '-M', '-l', 'root@node-1', 'gw', 'echo started; read line; exit 0']);
        const said = { stderr: '' };
        child.stderr!.on('data', (data: Buffer) => {
          said.stderr += data.toString();
        });
        const ended = once(child, 'close');
        const started = await Promise.race([once(child.stdout!, 'data').then(() => true), ended.then(() => false)]);
        return { args, child, said, ended, started };
      };
      // On a busy machine the certificate may expire before there is a session.
      let seconds = 2;
      let attempt = await connect(seconds);
      while (!attempt.started) attempt = await connect((seconds *= 2));
      const { args, child, said, ended } = attempt;
      if (disconnect) {
        expect((await ended)[0]).toBe(status);
        expect(said.stderr).toContain('[CERT_EXPIRED]');
        return;
      }
      let more = '';
      while (!more.includes('[CERT_EXPIRED]')) more = (await world.run('ssh', [...args, '-l', 'root@node-1', 'gw', 'true'])).stderr;
      child.stdin!.end('go on\n');
      expect((await ended)[0]).toBe(status);
    } finally {
      world.authority.roles = roles;
    }
  });

  it('end when their recording fails and the role is strict', async () => {
    const { ended } = await liveSession();
    world.recorder.break();
    expect(await ended).toEqual({ status: 255, stderr: expect.stringContaining('[RECORDING_IMPOSSIBLE]') });
  });
});

describe("a node's banner", () => {
  it('is shown in the first session on a terminal, and recorded; a command without a terminal stays as it is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'steno-banner-'));
    writeFileSync(join(folder, 'banner'), 'Authorized use only.\nAsk \u001b[31mred\u001b[0m.\n');
    const other = await openWorld({ sshd: `Banner ${folder}/banner` });
    try {
      const plain = await other.run('ssh', ['-F', other.sshConfig, 'root@node-1', 'echo plain']);
      expect(plain).toEqual({ status: 0, stdout: 'plain\n', stderr: '' });
      const { stdout } = await other.run('ssh', [
        '-tt',
        '-F',
        other.sshConfig,
        'root@node-1',
        'head -c 3000000 /dev/zero | tr "\\0" x; echo; echo done',
      ]);
      expect(stdout.slice(0, 60)).toBe(`Authorized use only.\r\nAsk ?[31mred?[0m.\r\n${'x'.repeat(19)}`);
      expect(stdout).toHaveLength(41 + 3_000_000 + 2 + 6);
      while (other.recorder.live.size > 0) await new Promise(setImmediate);
      expect(other.recorder.recordings().at(-1)!.bytes('out').toString()).toBe(stdout);
    } finally {
      await other.close();
      rmSync(folder, { recursive: true });
    }
  });
});
