/**
 * Stock clients against a whole Steno and three nodes: its own node service, a stock sshd, and a node behind a tunnel. The cases of
 * the three nodes run concurrently; sessions are told apart by node.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '#runtime/http/free-port.js';
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { Verdict } from '#schemas/recording/verify.js';
import {
  background,
  echoServer,
  exchange,
  gatewayOf,
  git,
  must,
  plainSshConfig,
  puttyKey,
  sessionsOf,
  verdictOf,
  viewerOf,
} from './client-tools.js';
import type { Viewer } from './client-tools.js';
import { Steno } from './machine.js';
import { startStockNode } from './stock-node.js';
import type { StockNode } from './stock-node.js';
import { startTunnelNode } from './tunnel-node.js';
import type { TunnelNode } from './tunnel-node.js';

const python = '/usr/bin/python3';
const steno = new Steno();
let stock: StockNode;
let behind: TunnelNode;
let echo: Awaited<ReturnType<typeof echoServer>>;
let gateway: Awaited<ReturnType<typeof gatewayOf>>;
let viewer: Viewer;
let key: readonly string[];
/** One session of every client, to verify at the end. */
const left = new Map<string, SessionInfo>();

const file = (name: string): string => join(steno.folder, name);
const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

const viewerOn = (node: string): Viewer => ({
  ...viewer,
  sessions: async () => (await viewer.sessions()).filter((row) => row.node === node),
});

/** Expects these sessions of `act` on the node, in any order, and keeps them for verification. */
async function leavesOn(node: string, client: string, expected: readonly Partial<SessionInfo>[], act: () => Promise<void>): Promise<void> {
  const rows = await sessionsOf(viewerOn(node), expected.length, act);
  expect(rows).toHaveLength(expected.length);
  expect(rows).toEqual(expect.arrayContaining(expected.map((row) => expect.objectContaining(row) as unknown)));
  left.set(`${node}: ${client}`, rows[0]!);
}

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  [stock, behind, echo, gateway] = await Promise.all([
    startStockNode(steno, 'stock'),
    startTunnelNode(steno, 'behind'),
    echoServer(),
    gatewayOf(steno),
  ]);
  viewer = viewerOf(steno);
  key = await puttyKey(steno);
  writeFileSync(file('plain_config'), plainSshConfig(steno));
});
afterAll(async () => {
  await stock?.stop();
  await behind?.stop();
  await echo?.close();
  await steno.dispose();
});

describe.concurrent('nodes concurrently', () => {
  describe.each(['local', 'stock', 'behind'])('through the gateway to node %s', (node) => {
    describe.sequential('one after the other', () => {
      const leaves = (client: string, expected: readonly Partial<SessionInfo>[], act: () => Promise<void>): Promise<void> =>
        leavesOn(node, client, expected, act);
      const login = steno.login;
      const host = `${login}@${node}.steno`;
      const exec = (exit_code: number, more: Partial<SessionInfo> = {}): Partial<SessionInfo> => ({
        node,
        login,
        kind: 'exec',
        tty: false,
        exit_code,
        ...more,
      });

      it('ssh: a shell with its window, an interrupt and its exit status', async () => {
        await leaves('shell', [{ node, kind: 'shell', tty: true, exit_code: 9 }], async () => {
          const shell = steno.terminal('ssh', ['-F', steno.config, host], { cols: 91, rows: 27 });
          await shell.until(/[$#] $/);
          shell.write('stty size; cat\r');
          await shell.until(/27 91/);
          shell.write('typed\r');
          await shell.until(/typed\r\ntyped/);
          shell.write('\u0003');
          await shell.until(/\^C[^]*[$#] $/);
          shell.resize(70, 20);
          // The client may send the new size only after the next input, because it checks for signals before it waits. The shell then
          // redraws its prompt, followed directly by the output.
          shell.write('until stty size | grep "20 70"; do :; done\r');
          await shell.until(/20 70\r/);
          shell.write('exit 9\r');
          expect(await shell.ended).toBe(9);
        });
      });

      it('ssh: exit status, exit signal, standard error and environment', async () => {
        await leaves('exec', [exec(7), { node, kind: 'exec', exit_code: null, exit_signal: 'TERM' }], async () => {
          const plain = await steno.ssh('-o', 'SetEnv=LC_STENO=passed', host, 'echo out-$LC_STENO; echo err >&2; exit 7');
          expect(plain).toMatchObject({ status: 7, stdout: 'out-passed\n', stderr: expect.stringContaining('err') });
          expect((await steno.ssh(host, 'kill -TERM $$')).status).toBe(255);
        });
      });

      it('ssh -J gateway', async () => {
        await leaves('-J', [exec(5, { command: 'echo jumped; exit 5' })], async () => {
          const { status, stdout, stderr } = await steno.exec('ssh', [
            '-F',
            file('plain_config'),
            '-J',
            `${login}@${steno.run.ssh}`,
            `${login}@${node}`,
            'echo jumped; exit 5',
          ]);
          expect({ status, stdout, stderr }).toEqual({ status: 5, stdout: 'jumped\n', stderr: '' });
        });
      });

      it('ssh login@node@gateway', async () => {
        await leaves('login@node@gateway', [exec(6)], async () => {
          const { status, stdout } = await steno.exec('ssh', [
            '-F',
            file('plain_config'),
            '-p',
            gateway.port,
            `${login}@${node}@${gateway.host}`,
            'echo direct; exit 6',
          ]);
          expect({ status, stdout }).toEqual({ status: 6, stdout: 'direct\n' });
        });
      });

      it('steno ssh', async () => {
        await leaves('steno ssh', [exec(4)], async () => {
          expect(await steno.steno('ssh', `${login}@${node}`, 'echo', 'by-steno;', 'exit', '4')).toMatchObject({
            status: 4,
            stdout: 'by-steno\n',
          });
        });
      });

      it('ControlMaster: several channels of one connection at once, each a session of its own', async () => {
        const control = ['-o', `ControlPath=${file(`cm-${node}`)}`];
        await leaves('ControlMaster', [exec(1), exec(2), exec(3), exec(4), exec(0)], async () => {
          const master = background(steno, 'ssh', ['-F', steno.config, ...control, '-M', host, 'echo master is up; read line']);
          await master.until(/master is up/);
          // Each channel waits for all the others, so all are open at the same time.
          const barrier = file(`barrier-${node}`);
          mkdirSync(barrier);
          const all = await Promise.all(
            [1, 2, 3, 4].map((n) =>
              steno.ssh(
                ...control,
                host,
                `touch ${barrier}/${n}; until [ "$(ls ${barrier} | wc -l)" = 4 ]; do sleep 0.05; done; echo channel ${n}; exit ${n}`,
              ),
            ),
          );
          expect(all.map(({ status, stdout }) => ({ status, stdout }))).toEqual(
            [1, 2, 3, 4].map((n) => ({ status: n, stdout: `channel ${n}\n` })),
          );
          master.write('bye\n');
          expect(await master.ended).toBe(0);
        });
      });

      it('-L, -R, -D and -W carry bytes both ways, unchanged', async () => {
        const bytes = randomBytes(300_000);
        const options = ['-F', steno.config, '-o', 'ExitOnForwardFailure=yes'];
        const rows = await sessionsOf(viewerOn(node), 3, async () => {
          const port = [await freePort(), await freePort()];
          const tunnels = background(steno, 'ssh', [
            ...options,
            '-L',
            `${port[0]}:127.0.0.1:${echo.port}`,
            '-D',
            String(port[1]),
            '-R',
            `0:127.0.0.1:${echo.port}`,
            host,
            'echo tunnels are up; read line',
          ]);
          const [, remote] = await tunnels.until(/Allocated port (\d+) for remote forward/);
          await tunnels.until(/tunnels are up/);
          const back = await Promise.all([
            exchange(port[0]!, bytes),
            exchange(port[1]!, bytes, { host: '127.0.0.1', port: echo.port }),
            exchange(Number(remote), bytes),
          ]);
          expect(back.map(sha256)).toEqual([bytes, bytes, bytes].map(sha256));
          tunnels.write('bye\n');
          expect(await tunnels.ended).toBe(0);
          const piped = await steno.exec('ssh', [...options, '-W', `127.0.0.1:${echo.port}`, host], { input: 'through -W\n' });
          expect(piped).toMatchObject({ status: 0, stdout: 'through -W\n' });
        });
        for (const row of rows) left.set(`${node}: ${row.kind} ${row.id}`, row);
        expect(rows.map(({ kind, node: where }) => `${kind} ${where}`).sort()).toEqual([
          `exec ${node}`,
          `forward ${node}`,
          `forward ${node}`,
        ]);
      });

      it('-A: the user’s agent is available, and only on request', async ({ onTestFinished }) => {
        await must(steno.exec('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', `agent-${node}`, '-f', file(`agent-${node}`)]));
        const agent = background(steno, 'ssh-agent', ['-D', '-a', file(`agent-${node}.sock`)]);
        onTestFinished(() => agent.stop());
        await agent.until(/SSH_AUTH_SOCK/);
        const env = { SSH_AUTH_SOCK: file(`agent-${node}.sock`) };
        await must(steno.exec('ssh-add', ['-q', file(`agent-${node}`)], { env }));
        await leaves('-A', [exec(0), { node, kind: 'forward' }, exec(0)], async () => {
          const forwarded = await steno.exec('ssh', ['-F', steno.config, '-A', host, 'ssh-add -L'], { env });
          expect(forwarded).toMatchObject({ status: 0, stdout: readFileSync(file(`agent-${node}.pub`), 'utf8') });
          const plain = await steno.exec('ssh', ['-F', steno.config, host, 'echo "[$SSH_AUTH_SOCK]"'], { env });
          expect(plain.stdout).toBe('[]\n');
        });
      });

      it('5 MB each way arrive intact with a rekey every quarter of a megabyte', async () => {
        const bytes = randomBytes(5_000_000);
        writeFileSync(file(`bulk-for-${node}`), bytes);
        await leaves('rekeying', [exec(0)], async () => {
          const { status, stdout } = await steno.exec(
            'ssh',
            [
              '-F',
              steno.config,
              '-o',
              'RekeyLimit=256K',
              host,
              `tee ${file(`bulk-${node}`)} | sha256sum >&2; cat ${file(`bulk-for-${node}`)} | base64 -w0`,
            ],
            { input: bytes },
          );
          expect(status).toBe(0);
          expect(sha256(Buffer.from(stdout, 'base64'))).toBe(sha256(bytes));
          expect(sha256(readFileSync(file(`bulk-${node}`)))).toBe(sha256(bytes));
        });
      });

      it('keepalives are answered on an idle connection', async () => {
        await leaves('keepalive', [exec(0)], async () => {
          const { status, stdout, stderr } = await steno.ssh(
            '-v',
            '-o',
            'ServerAliveInterval=1',
            '-o',
            'ServerAliveCountMax=1',
            host,
            'sleep 2.5; echo alive',
          );
          expect({ status, stdout }).toEqual({ status: 0, stdout: 'alive\n' });
          expect(stderr).not.toContain('not responding');
        });
      });

      it('PuTTY: plink and psftp, with the certificate', async () => {
        const putty = [...key, '-hostkey', gateway.fingerprint, '-P', gateway.port, '-l', `${login}@${node}`];
        writeFileSync(file(`psftp-in-${node}`), 'for psftp\n');
        writeFileSync(
          file(`psftp-${node}.batch`),
          `put ${file(`psftp-in-${node}`)} ${file(`psftp-there-${node}`)}\nget ${file(`psftp-there-${node}`)} ${file(`psftp-back-${node}`)}\n`,
        );
        await leaves(
          'PuTTY',
          [exec(8, { client_version: expect.stringMatching(/^PuTTY/) as unknown as string }), { node, kind: 'sftp' }],
          async () => {
            const plink = await steno.exec('plink', ['-ssh', ...putty, gateway.host, 'echo by-plink; exit 8']);
            expect(plink, plink.stderr).toMatchObject({ status: 8, stdout: 'by-plink\n' });
            await must(steno.exec('psftp', [...putty, '-b', file(`psftp-${node}.batch`), gateway.host]));
            expect(readFileSync(file(`psftp-back-${node}`), 'utf8')).toBe('for psftp\n');
          },
        );
      });

      it('paramiko, with the certificate', async () => {
        writeFileSync(
          file(`client-${node}.py`),
          [
            'import base64, paramiko, sys',
            'host, port, user, key_file, host_key, path = sys.argv[1:]',
            'key = paramiko.Ed25519Key.from_private_key_file(key_file)',
            "key.load_certificate(key_file + '-cert.pub')",
            'client = paramiko.SSHClient()',
            "client.get_host_keys().add('[%s]:%s' % (host, port), 'ssh-ed25519', paramiko.Ed25519Key(data=base64.b64decode(host_key)))",
            'client.connect(host, int(port), user, pkey=key, allow_agent=False, look_for_keys=False)',
            "stdin, stdout, stderr = client.exec_command('cat; echo problem >&2; exit 3')",
            "stdin.write('by-paramiko'); stdin.channel.shutdown_write()",
            'print(stdout.read().decode(), stderr.read().decode().strip(), stdout.channel.recv_exit_status())',
            'sftp = client.open_sftp()',
            "with sftp.open(path, 'w') as f: f.write('written by paramiko')",
            'print(sftp.stat(path).st_size, sftp.open(path).read().decode())',
            'client.close()',
          ].join('\n'),
        );
        await leaves('paramiko', [exec(3), { node, kind: 'sftp' }], async () => {
          const { stdout } = await must(
            steno.exec(python, [
              file(`client-${node}.py`),
              gateway.host,
              gateway.port,
              `${login}@${node}`,
              file('home/id_ed25519'),
              gateway.hostKey.split(' ')[1]!,
              file(`paramiko-${node}`),
            ]),
          );
          expect(stdout).toBe('by-paramiko problem 3\n19 written by paramiko\n');
        });
      });

      it('git: clone, commit, push', async () => {
        const bare = file(`there-${node}.git`);
        await git(steno, steno.folder, 'init', '-q', '--bare', bare);
        await git(steno, steno.folder, 'init', '-q', file(`seed-${node}`));
        writeFileSync(join(file(`seed-${node}`), 'a.txt'), 'first\n');
        await git(steno, file(`seed-${node}`), 'add', '.');
        await git(steno, file(`seed-${node}`), 'commit', '-qm', 'first');
        await leaves('git', [exec(0), exec(0), exec(0)], async () => {
          await git(steno, file(`seed-${node}`), 'push', '-q', `${host}:${bare}`, 'main');
          await git(steno, steno.folder, 'clone', '-q', `${host}:${bare}`, file(`clone-${node}`));
          writeFileSync(join(file(`clone-${node}`), 'b.txt'), 'second\n');
          await git(steno, file(`clone-${node}`), 'add', '.');
          await git(steno, file(`clone-${node}`), 'commit', '-qm', 'second');
          await git(steno, file(`clone-${node}`), 'push', '-q');
        });
        expect((await git(steno, bare, 'log', '--format=%s', 'main')).stdout).toBe('second\nfirst\n');
      });

      it('rsync: both directions', async () => {
        const from = file(`rsync-${node}`);
        mkdirSync(join(from, 'sub'), { recursive: true });
        writeFileSync(join(from, 'one'), randomBytes(100_000));
        writeFileSync(join(from, 'sub', 'two'), 'two\n');
        await leaves('rsync', [exec(0), exec(0)], async () => {
          await must(steno.exec('rsync', ['-a', '-e', `ssh -F ${steno.config}`, `${from}/`, `${host}:${from}-there/`]));
          await must(steno.exec('rsync', ['-az', '-e', `ssh -F ${steno.config}`, `${host}:${from}-there/`, `${from}-back/`]));
        });
        for (const name of ['one', 'sub/two']) expect(readFileSync(join(`${from}-back`, name))).toEqual(readFileSync(join(from, name)));
      });

      it('dbclient, which does not support certificates, gets an explanation on its terminal', async () => {
        const client = steno.terminal('dbclient', ['-p', gateway.port, '-y', '-l', `${login}@${node}`, gateway.host, 'echo never']);
        expect(await client.ended).not.toBe(0);
        const said = client.text();
        expect(said).toContain('does not support certificates');
        expect(said).toContain('[CERT_REQUIRED]');
        expect(said).not.toMatch(/never|password/i);
      });
    });
  });
});

describe('over both nodes', () => {
  it('Ansible: one play with ping, copy and command', async () => {
    writeFileSync(
      file('inventory'),
      ['local', 'stock'].map((name) => `${name}.steno ansible_user=${steno.login} ansible_python_interpreter=${python}\n`).join(''),
    );
    writeFileSync(file('ansible-in'), 'copied by ansible\n');
    writeFileSync(
      file('play.yml'),
      JSON.stringify([
        {
          hosts: 'all',
          gather_facts: false,
          tasks: [
            { ping: {} },
            { copy: { src: file('ansible-in'), dest: `${file('ansible')}-{{ inventory_hostname }}` } },
            { command: `sha256sum ${file('ansible')}-{{ inventory_hostname }}`, register: 'sum' },
            { debug: { msg: 'sum={{ sum.stdout.split()[0] }}' } },
          ],
        },
      ]),
    );
    const rows = await sessionsOf(viewer, 6, async () => {
      const { stdout } = await must(
        steno.exec('ansible-playbook', ['-i', file('inventory'), '--ssh-common-args', `-F ${steno.config}`, file('play.yml')], {
          env: {
            ANSIBLE_HOME: file('ansible-home'),
            ANSIBLE_LOCAL_TEMP: file('ansible-local'),
            ANSIBLE_REMOTE_TEMP: file('ansible-remote'),
            ANSIBLE_NOCOLOR: '1',
          },
        }),
      );
      expect(stdout.match(/failed=0/g)).toHaveLength(2);
      expect(stdout.match(new RegExp(`sum=${sha256('copied by ansible\n')}`, 'g'))).toHaveLength(2);
    });
    for (const node of ['local', 'stock'])
      left.set(
        `${node}: ansible`,
        rows.find((row) => row.node === node)!,
      );
    expect(rows.some(({ command }) => command.includes('AnsiballZ_ping') || command.includes('python3'))).toBe(true);
  });

  it('every one of these sessions is listed and verifies', async () => {
    const listed = new Set((await steno.json<SessionInfo[]>('sessions', '--limit', '1000')).map(({ id }) => id));
    const all = [...left].map(([client, { id }]) => ({ client, id })).sort((a, b) => (a.client < b.client ? -1 : 1));
    expect(all.filter(({ id }) => !listed.has(id))).toEqual([]);
    // One session of each client, alternating between the nodes.
    const ids = all.filter((_, index) => (index + (index < all.length / 2 ? 0 : 1)) % 2 === 0);
    const verified: { readonly client: string; readonly verdict: Verdict }[] = [];
    await Promise.all(
      [0, 1, 2, 3].map(async () => {
        for (let next = ids.shift(); next !== undefined; next = ids.shift())
          verified.push({ client: next.client, verdict: await verdictOf(steno, next.id) });
      }),
    );
    expect(verified.filter(({ verdict }) => !verdict.ok)).toEqual([]);
    expect(verified.length).toBeGreaterThanOrEqual(12);
  });
});
