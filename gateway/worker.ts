/**
 * The program of one worker of a gateway (workers/pool.ts): a gateway whose connections another process accepts.
 *
 * The worker closes when the parent says so. When the parent dies, it ends its sessions in order and exits: no connections would
 * arrive any more, and the next parent starts its own workers, which wait for this one (workers/siblings.ts).
 */
import { freeBuffersAtOnce } from '#runtime/buffers.js';
import { enterFips } from '#runtime/fips.js';
import { openLog } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { StenoError } from '#schemas/base/errors.js';
import { startGatewayProcess } from './process.js';
import { Shared } from './workers/shared.js';
import { siblingPath, takePlace } from './workers/siblings.js';
import type { FromWorker, ToWorker } from './workers/messages.js';

/** Limit for the steps after the sessions have ended when the parent is gone. */
const ALONE_LIMIT_MS = 15_000;

type GatewayConfig = Parameters<typeof startGatewayProcess>[0];

freeBuffersAtOnce();
const log = openLog('gateway');
const hurry = new AbortController();
let running: Promise<Running> | undefined;
let shared: Shared | undefined;
let closing = false;

function tell(message: FromWorker, done: () => void = () => undefined): void {
  if (process.connected && process.send !== undefined) process.send(message, done);
  else done();
}

async function start({ config, place }: Extract<ToWorker, { readonly kind: 'config' }>): Promise<Running> {
  const gateway = config as GatewayConfig;
  // FIPS mode must be on before any key is generated or read.
  if (gateway.fips) enterFips();
  const server = await takePlace(siblingPath(place.folder, place.number), log);
  shared = new Shared(place, server, { tell, retired: () => void close('its spool is empty'), log });
  if (!process.connected) shared.alone();
  return startGatewayProcess(gateway, { log: log.child({ worker: gateway.name }) }, shared);
}

async function close(reason: string): Promise<void> {
  if (closing) return;
  closing = true;
  log.info({ reason }, 'draining');
  try {
    await (await running?.catch(() => undefined))?.close(hurry.signal);
  } catch (error) {
    log.error({ err: error }, 'the drain failed');
    process.exit(70);
  }
  process.exit(0);
}

process.on('message', (message: ToWorker, handle: unknown) => {
  if (message.kind === 'close') return void close('requested by the parent process');
  if (message.kind === 'hurry') return hurry.abort();
  if (message.kind !== 'config') return shared?.take(message, handle);
  running = start(message);
  running.then(
    ({ over }) => {
      tell({ kind: 'ready' });
      void over?.then(({ code, detail }) => tell({ kind: 'over', code, detail: detail ?? '' }));
    },
    (error: unknown) => {
      const known =
        error instanceof StenoError ? error : new StenoError('INTERNAL', error instanceof Error ? error.message : String(error));
      log.error({ err: error }, 'failed to start');
      tell({ kind: 'failed', code: known.code, detail: known.detail ?? '' }, () => process.exit(known.entry.exit));
    },
  );
  return undefined;
});
process.on('disconnect', () => {
  shared?.alone();
  hurry.abort();
  setTimeout(() => process.exit(70), ALONE_LIMIT_MS).unref();
  void close('the parent process is gone');
});
// A service manager or a terminal may signal the whole group: the parent decides the order.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => undefined);
// Node's default handler would open the debugger to everybody on this machine.
process.on('SIGUSR1', () => undefined);
const fatal = (error: unknown): void => {
  log.fatal({ err: error }, 'uncaught exception');
  process.exit(70);
};
process.on('uncaughtException', fatal);
process.on('unhandledRejection', fatal);
