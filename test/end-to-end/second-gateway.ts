/** One more gateway of a whole Steno, as another machine would run it: a process of its own, ended by its pid. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { FromService, ToService } from '#runtime/service.js';
import { readRunFile, dataDir } from '../../cli/data-dir.js';
import { bin } from './machine.js';
import type { Result, Steno, Terminal } from './machine.js';

export interface SecondGateway {
  /** `ssh`, with the login at hand, to a node through this gateway. */
  ssh(target: string, ...command: readonly string[]): Promise<Result>;
  terminal(target: string): Terminal;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export async function startSecondGateway(steno: Steno, name: string): Promise<SecondGateway> {
  const { socket, authority, ingest } = readRunFile(dataDir(steno.data));
  const log = openSync(join(steno.data, 'logs', `${name}.log`), 'a', 0o600);
  const child = fork(join(bin, '..', '..', 'dist', 'gateway', 'main.js'), [], {
    env: steno.env,
    stdio: ['ignore', log, log, 'ipc'],
    serialization: 'advanced',
    execArgv: [],
  });
  closeSync(log);
  const config = { name, dataDir: join(steno.folder, name), listen: '127.0.0.1:0', tunnelListen: '127.0.0.1:0', socket, authority, ingest };
  child.send({ kind: 'config', config } satisfies ToService);
  const [said] = (await once(child, 'message')) as [FromService];
  if (said.kind !== 'ready') throw new Error(JSON.stringify(said));
  const port = said.addresses['ssh']!.split(':').at(-1)!;
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
    ssh: (target, ...command) => steno.exec('ssh', [...args(target), ...command]),
    terminal: (target) => steno.terminal('ssh', ['-tt', ...args(target)]),
    async stop(signal = 'SIGTERM') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      await once(child, 'exit');
    },
  };
}
