/** Separate services, each with a configuration file, as on machines of their own; ended by their pids. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { ServiceTokenCreated } from '#schemas/api/services/services.js';
import { background } from './client-tools.js';
import type { Background } from './client-tools.js';
import { bin } from './machine.js';
import type { Steno } from './machine.js';

export interface Service extends Background {
  /** Listening addresses, as the service prints them when it is ready. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Ends the service and resolves with its exit code; SIGTERM drains. */
  drain(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Ports below the range that systems use for outgoing connections (Linux: from 32768). */
const KEPT = { from: 10_000, to: 30_000 };

/** A free loopback port that stays free while its service restarts. */
export async function keptPort(): Promise<number> {
  for (;;) {
    const server = createServer();
    const port = randomInt(KEPT.from, KEPT.to);
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** A token for this kind of service, in a file that only the service can read, and the pins. */
export async function joining(
  steno: Steno,
  kind: 'gateway' | 'ingest' | 'viewer' | 'analyzer',
  name: string,
): Promise<{ readonly token_file: string; readonly ca_pins: readonly string[] }> {
  const { token, ca_pins } = await steno.json<ServiceTokenCreated>('tokens', 'add', '--type', kind, '--name', name);
  const file = join(steno.folder, `${kind}-${name}.token`);
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  return { token_file: file, ca_pins };
}

/** Runs `steno KIND --config` and waits until the service is ready. */
export async function startService(
  steno: Steno,
  kind: string,
  name: string,
  config: object,
  env: NodeJS.ProcessEnv = {},
): Promise<Service> {
  const folder = join(steno.folder, 'services');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = join(folder, `${kind}-${name}.yaml`);
  writeFileSync(file, stringify(config, { aliasDuplicateObjects: false }));
  const child = background(steno, process.execPath, [bin, kind, '--config', file], env);
  const [, addresses] = await child.until(/"addresses":(\{[^}]*\})[^\n]*"msg":"ready"/);
  return {
    ...child,
    addresses: JSON.parse(addresses!) as Record<string, string>,
    async drain(signal = 'SIGTERM') {
      if (signal === 'SIGTERM') await child.stop();
      else process.kill(child.pid, signal);
      return child.ended;
    },
  };
}
