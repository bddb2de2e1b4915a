/**
 * The set-up for all contestants: one Steno, one stock sshd as node, one stock sshd as jump host. All are on loopback, with
 * the same keys and cipher; `ssh -J` goes through the jump host to the same node that Steno dials.
 */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Steno } from '../test/end-to-end/machine.js';

const CIPHER = 'aes128-gcm@openssh.com';

export interface Field {
  readonly steno: Steno;
  /** Arguments of `ssh` (and `sftp`) that reach the node, destination included. */
  readonly routes: Readonly<Record<'direct' | 'jump' | 'steno' | 'login@node' | 'hop', readonly string[]>>;
  /** CPU seconds used so far by all threads of the gateway. */
  gatewaySeconds(): number;
  close(): Promise<void>;
}

export interface FieldOptions {
  /** Further options of `steno up`. */
  readonly up?: readonly string[];
  /** Whether shells at the node skip the user's start-up file, which may cost more than everything else. */
  readonly plainShells?: boolean;
  /** Further environment variables of the services. */
  readonly env?: NodeJS.ProcessEnv;
}

export async function openField({ up = [], plainShells = false, env = {} }: FieldOptions = {}): Promise<Field> {
  const steno = new Steno();
  const daemons: ChildProcess[] = [];
  const close = async (): Promise<void> => {
    for (const daemon of daemons) daemon.kill();
    await steno.dispose();
  };
  try {
    Object.assign(steno.env, env);
    await steno.start(...up);
    for (const name of Object.keys(env)) delete steno.env[name];
    await steno.json('login', '--data', steno.data);
    const folder = join(steno.folder, 'sshd');
    mkdirSync(folder);
    mkdirSync('/run/sshd', { recursive: true });
    for (const key of ['host', 'user']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, key)]);
    writeFileSync(join(folder, 'user_ca.pub'), (await steno.steno('ca', 'export', 'user')).stdout);
    const ports = { node: await daemon(folder, 'node', daemons, plainShells), jump: await daemon(folder, 'jump', daemons) };
    const added = await steno.steno('nodes', 'add', 'bench', `127.0.0.1:${ports.node}`, '--host-key', join(folder, 'host.pub'));
    if (added.status !== 0) throw new Error(added.stderr);
    const hostKey = readFileSync(join(folder, 'host.pub'), 'utf8').split(' ').slice(0, 2).join(' ');
    writeFileSync(
      join(folder, 'known_hosts'),
      Object.values(ports)
        .map((port) => `[127.0.0.1]:${port} ${hostKey}\n`)
        .join(''),
    );
    const common = ['-c', CIPHER, '-o', 'LogLevel=ERROR', '-o', 'BatchMode=yes', '-o', 'Compression=no'];
    const plain = [...common, '-F', join(folder, 'config')];
    writeFileSync(
      join(folder, 'config'),
      `Host node\n  Port ${ports.node}\nHost jump\n  Port ${ports.jump}\nHost *\n  HostName 127.0.0.1\n  User ${steno.login}\n  IdentityFile ${join(folder, 'user')}\n  IdentitiesOnly yes\n  UserKnownHostsFile ${join(folder, 'known_hosts')}\n  Ciphers ${CIPHER}\n`,
    );
    const byHand = join(folder, 'by_hand');
    const home = join(steno.folder, 'home');
    writeFileSync(
      byHand,
      `IdentityFile ${home}/id_ed25519\nCertificateFile ${home}/id_ed25519-cert.pub\nIdentitiesOnly yes\nUserKnownHostsFile ${home}/known_hosts\nCiphers ${CIPHER}\n`,
    );
    return {
      steno,
      routes: {
        direct: [...plain, 'node'],
        jump: [...plain, '-J', 'jump', 'node'],
        steno: [...common, '-F', steno.config, '-o', `User=${steno.login}`, 'bench.steno'],
        // One connection, like the one above: the user name contains the node.
        'login@node': [...common, '-F', steno.config, `${steno.login}@bench@steno-gateway`],
        // `ssh -J` typed by hand: one connection inside another, both ended by the gateway.
        hop: [...common, '-F', byHand, '-J', `${steno.login}@${steno.run.ssh}`, `${steno.login}@bench`],
      },
      gatewaySeconds: () => cpuSeconds(steno.run.processes['gateway']!),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** From schedstat, which counts each thread in ns; `stat` counts in hundredths of a second. Ended threads are missing. */
export function cpuSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return threads.reduce((sum, ns) => sum + ns, 0) / 1e9;
}

async function daemon(folder: string, name: string, daemons: ChildProcess[], plainShells = false): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  const file = join(folder, `${name}.conf`);
  writeFileSync(
    file,
    `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${join(folder, 'host')}\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin yes\nAuthorizedKeysFile ${join(folder, 'user.pub')}\nTrustedUserCAKeys ${join(folder, 'user_ca.pub')}\nSubsystem sftp internal-sftp\nMaxStartups 1000\nMaxSessions 1000\nPrintMotd no\n${plainShells ? 'SetEnv SHLVL=1\n' : ''}`,
  );
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', file], { stdio: 'ignore' });
  daemons.push(child);
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const open = await new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)));
    socket.destroy();
    if (open) return port;
  }
}
