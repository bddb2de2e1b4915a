/**
 * The gateway service: one process, or a parent that listens and workers that hold the sessions.
 *
 *     workers: 1   startGatewayProcess here, as if there were no workers
 *     workers: N   front.ts ──sockets──► pool.ts ──► N × worker.ts, each a gateway of its own: NAME, NAME-w2, …
 *
 *     DIR/keys/, DIR/spool/            of the first worker, and of a gateway without workers
 *     DIR/workers/2/keys/, …/spool/    of the second
 *     DIR/workers/1.sock               socket over which workers reach each other (workers/siblings.ts)
 *
 * Workers have the same host keys, so clients see one gateway. A worker that is no longer configured is started until its
 * spool is empty, and leaves `retired` in its folder. Tested in test/end-to-end/workers.test.ts.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isName } from '#schemas/base/identity.js';
import { StenoError } from '#schemas/base/errors.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import { spanMs } from '#runtime/service/config.js';
import type { Running } from '#runtime/service/process.js';
import type { Log } from '#runtime/log.js';
import { workerCount, workerName } from './config.js';
import type { GatewayStart } from './config.js';
import { DEFAULT_BUDGET } from './spool/spool.js';
import { Front } from './workers/front.js';
import type { PortName } from './workers/messages.js';
import { Pool } from './workers/pool.js';
import type { WorkerPlan } from './workers/pool.js';

const HOST_KEYS = ['host.key', 'host-p256.key', 'host-rsa.key'];
const LEAST_SPOOL_BYTES = 16_777_216;

export async function startGatewayService(config: GatewayStart, { log }: { readonly log: Log }): Promise<Running> {
  const count = workerCount(config);
  const earlier = earlierWorkers(config.data).filter((number) => number > count && !existsSync(retiredMark(config.data, number)));
  if (count === 1 && earlier.length === 0) {
    const { startGatewayProcess } = await import('./process.js');
    return startGatewayProcess(config, { log });
  }
  const folder = join(config.data, 'workers');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const plans = [...Array.from({ length: count }, (_, i) => i + 1), ...earlier].map((number) => planOf(config, number, count));
  let fail: (error: StenoError) => void = () => undefined;
  const over = new Promise<StenoError>((resolve) => {
    fail = resolve;
  });
  let pool: Pool | undefined;
  const front = new Front({
    log,
    deliver: (arrival) => pool?.deliver(arrival),
    turnedAway: (port, counts) => pool?.turnedAway(port, counts),
  });
  try {
    const addresses: Partial<Record<PortName, string>> = {
      ssh: await front.listen('ssh', requireHostPort(config.listen)),
      tunnel: await front.listen('tunnel', requireHostPort(config.tunnel.listen)),
      ...(config.kube_listen === undefined ? {} : { kube: await front.listen('kube', requireHostPort(config.kube_listen)) }),
    };
    const workers = new Pool({
      module: fileURLToPath(new URL('./worker.js', import.meta.url)),
      plans,
      place: { folder, addresses },
      admissions: front.admissions,
      over: fail,
      log,
    });
    pool = workers;
    await workers.start();
    return {
      addresses: addresses as Readonly<Record<string, string>>,
      graceMs: spanMs(config.drain),
      over,
      metrics: () => metricsOf(workers),
      // While no worker is serving, accepted connections wait; a load balancer should choose another gateway.
      serving: () => workers.serving,
      async close(hurry) {
        front.stop();
        front.flush();
        await workers.close(hurry);
      },
    };
  } catch (error) {
    front.stop();
    const hurry = new AbortController();
    hurry.abort();
    await pool?.close(hurry.signal);
    throw error;
  }
}

/** Numbers of the workers that have a folder here. */
function earlierWorkers(data: string): readonly number[] {
  const folder = join(data, 'workers');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => /^[1-9]\d?$/.test(name))
    .map(Number);
}

const dataOf = (data: string, number: number): string => (number === 1 ? data : join(data, 'workers', String(number)));
const retiredMark = (data: string, number: number): string => join(dataOf(data, number), 'retired');

function planOf(config: GatewayStart, number: number, count: number): WorkerPlan {
  const { worker_tokens: tokens, token, health: _, ...rest } = config;
  const name = workerName(config.name, number);
  if (!isName(name)) throw new StenoError('CONFIG_INVALID', `\`name\` is too long for workers: ${name}`);
  const data = dataOf(config.data, number);
  const retiring = number > count;
  const own = number === 1 ? token : tokens?.[number - 2];
  return {
    number,
    name,
    retiring,
    prepare: () => {
      if (number === 1) return;
      if (!retiring) rmSync(retiredMark(config.data, number), { force: true });
      shareHostKeys(join(config.data, 'keys'), join(data, 'keys'));
    },
    retired: () => writeFileSync(retiredMark(config.data, number), '', { mode: 0o600 }),
    config: {
      ...rest,
      name,
      data,
      workers: 1,
      ...(own === undefined ? {} : { token: own }),
      // The configured size is for the machine, regardless of the number of workers.
      spool_bytes: Math.max(LEAST_SPOOL_BYTES, Math.floor((config.spool_bytes ?? DEFAULT_BUDGET) / count)),
    },
  };
}

/** Clients that know a plain host key must find the same key at every worker. */
function shareHostKeys(from: string, to: string): void {
  mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const name of HOST_KEYS) {
    const [source, target] = [join(from, name), join(to, name)];
    if (!existsSync(source)) continue;
    // Replaced only if it differs, because a worker's certificates are for its current key.
    if (!existsSync(target) || !readFileSync(source).equals(readFileSync(target))) copyFileSync(source, target);
  }
}

function metricsOf(pool: Pool): string {
  const counts = pool.counts();
  const series = (name: string, kind: string, help: string, value: (count: (typeof counts)[number]) => number): string =>
    `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${counts.map((count) => `${name}{worker="${count.name}"} ${value(count)}\n`).join('')}`;
  return (
    series('steno_gateway_worker_up', 'gauge', 'Whether the worker serves.', ({ serving }) => (serving ? 1 : 0)) +
    series('steno_gateway_worker_connections', 'gauge', 'Connections that the worker has.', ({ connections }) => connections) +
    series('steno_gateway_worker_restarts_total', 'counter', 'How often the worker died and was started again.', ({ restarts }) => restarts)
  );
}
