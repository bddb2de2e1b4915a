/**
 * Lifecycle of a stage's process under `steno up`.
 *
 *     starting ──config by IPC──► started ──'ready' to parent──► serving ──TERM, INT or parent gone──► draining ──► exit 0
 *         └──── failure: 'failed' with the catalogue code to parent, exit with the code's exit status ────────────►
 *
 * The configuration arrives over the IPC channel, never in argv, which every user of the machine can read. When the parent
 * dies the channel closes and the stage drains, so nothing is left running. Tested in test/end-to-end/spine.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { freeBuffersAtOnce } from '../buffers.js';
import { enterFips } from '../fips.js';
import { openLog } from '../log.js';
import { startHealth } from './health.js';
import type { Log } from '../log.js';

export interface Running {
  /** Listening addresses by name: `host:port` or a path. */
  readonly addresses: Readonly<Record<string, string>>;
  /**
   * How long `close` may wait for work in progress before its own final steps, which are limited to DRAIN_LIMIT_MS. If
   * omitted: not at all.
   */
  readonly graceMs?: number;
  /** Output for `/metrics` in Prometheus' text format, beside the probes; omitted if there is none. */
  metrics?(): string;
  /** Whether anything takes connections now, for `/readyz`; if omitted, always after the start. */
  serving?(): boolean;
  /**
   * Resolves with the reason when the service cannot continue; it is then closed, and its process exits with the status of
   * the error.
   */
  readonly over?: Promise<StenoError>;
  /** Drains and releases everything; resolves when nothing is left to lose. `hurry`: aborted when waiting must stop. */
  close(hurry?: AbortSignal): Promise<void>;
}

export type FromService =
  | { readonly kind: 'ready'; readonly addresses: Readonly<Record<string, string>> }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string };
export type ToService = { readonly kind: 'config'; readonly config: unknown } | { readonly kind: 'close' };

/** A longer drain has hung: the process exits, and the rest stays in the spool. */
const DRAIN_LIMIT_MS = 15_000;

/** `contain`: returns true for an uncaught error that does not concern the whole stage. */
export function runService<Config>(
  stage: string,
  start: (config: Config, context: { readonly log: Log }) => Promise<Running>,
  contain: (error: unknown) => boolean = () => false,
): void {
  freeBuffersAtOnce();
  const log = openLog(stage);
  let running: Promise<Running> | undefined;
  let closing = false;
  /** Milliseconds since process start, to see where startup time goes. */
  const loaded = Math.round(performance.now());
  let configured = 0;
  const tell = (message: FromService): void => {
    if (process.connected) process.send?.(message);
  };
  const begin = async (config: unknown): Promise<Running> => {
    // Before any key is generated or read.
    if ((config as { readonly fips?: boolean }).fips === true) enterFips();
    return start(config as Config, { log });
  };
  const close = async (reason: string, status = 0): Promise<void> => {
    if (closing) return;
    closing = true;
    log.info({ reason }, 'draining');
    setTimeout(() => {
      log.error('the drain took too long');
      process.exit(70);
    }, DRAIN_LIMIT_MS).unref();
    try {
      await (await running)?.close();
    } catch (error) {
      log.error({ err: error }, 'the drain failed');
      process.exit(70);
    }
    process.exit(status);
  };
  process.on('message', (message: ToService) => {
    if (message.kind === 'close') void close('requested by the parent process');
    if (message.kind !== 'config' || running !== undefined) return;
    configured = Math.round(performance.now());
    running = begin(message.config);
    running.then(
      ({ addresses, over }) => {
        void over?.then((error) => close(error.message, error.entry.exit));
        log.info({ addresses, loaded_ms: loaded, configured_ms: configured, ready_ms: Math.round(performance.now()) }, 'ready');
        tell({ kind: 'ready', addresses });
      },
      (error: unknown) => {
        const known =
          error instanceof StenoError ? error : new StenoError('INTERNAL', error instanceof Error ? error.message : String(error));
        log.error({ err: error }, 'failed to start');
        tell({ kind: 'failed', code: known.code, detail: known.detail ?? '' });
        process.disconnect?.();
        process.exit(known.entry.exit);
      },
    );
  });
  process.on('disconnect', () => void close('the parent process is gone'));
  process.on('SIGTERM', () => void close('SIGTERM'));
  // Ctrl-C reaches the whole process group: the parent decides the order in which stages drain.
  process.on('SIGINT', () => undefined);
  // Node's default handler would open the debugger to everybody on this machine.
  process.on('SIGUSR1', () => undefined);
  process.on('uncaughtException', (error) => {
    if (contain(error)) return;
    log.fatal({ err: error }, 'uncaught exception');
    process.exit(70);
  });
  process.on('unhandledRejection', (error) => {
    if (contain(error)) return;
    log.fatal({ err: error }, 'unhandled rejection');
    process.exit(70);
  });
  if (process.send === undefined) {
    log.fatal('this program is started by `steno up`');
    process.exit(64);
  }
  // The parent may have died while this program was loading.
  if (!process.connected) void close('the parent process is gone');
}

/**
 * A service by itself, in the foreground, as `steno SERVICE --config` runs it.
 *
 *     serving ──TERM, INT──► draining, work in progress may finish (`graceMs`) ──INT, or time is up──► ending ──► exit 0
 *                                                                               └── INT, or DRAIN_LIMIT_MS ──► exit 70
 *
 * Rejects with the error of a failed start; the process exits when the service has drained.
 */
export async function serve(
  stage: string,
  start: (context: { readonly log: Log }) => Promise<Running>,
  { health, fips }: { readonly health?: string | undefined; readonly fips: boolean },
): Promise<void> {
  // Before any key is generated or read.
  if (fips) enterFips();
  freeBuffersAtOnce();
  const log = openLog(stage);
  const probes = health === undefined ? undefined : await startHealth(health);
  let running: Promise<Running> | undefined;
  let draining = false;
  const hurry = new AbortController();
  let limit: NodeJS.Timeout | undefined;
  const exitAfter = (ms: number): void => {
    clearTimeout(limit);
    limit = setTimeout(() => {
      log.error('the drain took too long');
      process.exit(70);
    }, ms).unref();
  };
  const drain = async (reason: string, status = 0): Promise<void> => {
    if (draining) {
      if (reason !== 'SIGINT') return;
      if (hurry.signal.aborted) process.exit(70);
      log.info({ reason }, 'no longer waiting for work in progress');
      exitAfter(DRAIN_LIMIT_MS);
      return hurry.abort();
    }
    draining = true;
    probes?.set('draining');
    log.info({ reason }, 'draining');
    exitAfter(DRAIN_LIMIT_MS);
    try {
      // The caller reports a failed start.
      const started = await running?.catch(() => undefined);
      const graceMs = started?.graceMs ?? 0;
      if (graceMs === 0) hurry.abort();
      else exitAfter(graceMs + DRAIN_LIMIT_MS);
      await started?.close(hurry.signal);
      await probes?.close();
    } catch (error) {
      log.error({ err: error }, 'the drain failed');
      process.exit(70);
    }
    process.exit(status);
  };
  process.on('SIGTERM', () => void drain('SIGTERM'));
  process.on('SIGINT', () => void drain('SIGINT'));
  // Node's default handler would open the debugger to everybody on this machine.
  process.on('SIGUSR1', () => undefined);
  const fatal = (error: unknown): void => {
    log.fatal({ err: error }, 'uncaught exception');
    process.exit(70);
  };
  process.on('uncaughtException', fatal);
  process.on('unhandledRejection', fatal);
  running = start({ log });
  try {
    const { addresses, over } = await running;
    void over?.then((error) => {
      log.error({ err: error }, 'this service cannot go on');
      hurry.abort();
      return drain(error.code, error.entry.exit);
    });
    const { metrics, serving } = await running;
    if (metrics !== undefined) probes?.measure(metrics);
    if (serving !== undefined) probes?.watch(serving);
    if (!draining) probes?.set('ready');
    log.info({ addresses, health: probes?.address, ready_ms: Math.round(performance.now()) }, 'ready');
  } catch (error) {
    await probes?.close();
    throw error;
  }
}
