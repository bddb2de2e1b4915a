/** A second gateway of a whole Steno, as another machine would run it: joined by a token, a process of its own, ended by its pid. */
import { join } from 'node:path';
import { dataDir, readRunFile } from '../../cli/machine/data-dir.js';
import type { Result, Steno, Terminal } from './machine.js';
import { joining, startService } from './services.js';
import type { Service } from './services.js';

export interface SecondGateway {
  readonly service: Service;
  /** Runs `ssh` to a node through this gateway, with the existing login. */
  ssh(target: string, ...command: readonly string[]): Promise<Result>;
  terminal(target: string): Terminal;
  /** The arguments of `ssh` for this gateway. */
  args(target: string): readonly string[];
  /** Resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** `steno`: a Steno in which an administrator is logged in. */
export async function startSecondGateway(steno: Steno, name: string): Promise<SecondGateway> {
  const { authority, ingest } = readRunFile(dataDir(steno.data));
  return startGateway(steno, name, { authorities: [authority], ingest: [ingest] });
}

export async function startGateway(
  steno: Steno,
  name: string,
  where: { readonly authorities: readonly string[]; readonly ingest: readonly string[] },
  join_?: Awaited<ReturnType<typeof joining>>,
  more: object = {},
): Promise<SecondGateway> {
  const service = await startService(steno, 'gateway', name, {
    name,
    data: join(steno.folder, name),
    listen: '127.0.0.1:0',
    tunnel: { listen: '127.0.0.1:0' },
    join: join_ ?? (await joining(steno, 'gateway', name)),
    ...where,
    ...more,
  });
  return sshThrough(steno, service);
}

function sshThrough(steno: Steno, service: Service): SecondGateway {
  const port = service.addresses['ssh']!.split(':').at(-1)!;
  const home = join(steno.folder, 'home');
  const args = (target: string): string[] => [
    '-F',
    'none',
    '-p',
    port,
    '-i',
    join(home, 'id_ed25519'),
    '-o',
    'IdentitiesOnly=yes',
    '-o',
    `CertificateFile=${join(home, 'id_ed25519-cert.pub')}`,
    '-o',
    `UserKnownHostsFile=${join(home, 'known_hosts')}`,
    '-o',
    'StrictHostKeyChecking=yes',
    `${target}@127.0.0.1`,
  ];
  return {
    service,
    args,
    ssh: (target, ...command) => steno.exec('ssh', [...args(target), ...command]),
    terminal: (target) => steno.terminal('ssh', ['-tt', ...args(target)]),
    stop: (signal) => service.drain(signal),
  };
}
