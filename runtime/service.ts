/**
 * The life of a stage's process under `steno up`.
 *
 *     starting ──config by IPC──► started ──'ready' to parent──► serving ──TERM, INT or parent gone──► draining ──► exit 0
 *         └──── failure: 'failed' with the catalogue code to parent, exit with the code's exit status ────────────►
 *
 * The configuration comes over the IPC channel, never in argv, which every user of the machine can read. When the
 * parent dies the channel closes and the stage drains: nothing is left running. Tested in test/end-to-end/spine.test.ts.
 */
import { StenoError } from '#schemas/errors.js';
import type { ErrorCode } from '#schemas/errors.js';
import { enterFips } from './fips.js';
import { openLog } from './log.js';
import type { Log } from './log.js';

export interface Running {
  /** What listens where, `host:port` or a path. */
  readonly addresses: Readonly<Record<string, string>>;
  /** Drains and releases everything; resolves when nothing is left to lose. */
  close(): Promise<void>;
}

export type FromService =
  | { readonly kind: 'ready'; readonly addresses: Readonly<Record<string, string>> }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail: string };
export type ToService = { readonly kind: 'config'; readonly config: unknown } | { readonly kind: 'close' };

/** A drain that takes longer has hung: the process goes, and the spool has the rest. */
const DRAIN_LIMIT_MS = 15_000;

export function runService<Config>(stage: string, start: (config: Config, context: { readonly log: Log }) => Promise<Running>): void {
  const log = openLog(stage);
  let running: Promise<Running> | undefined;
  let closing = false;
  const tell = (message: FromService): void => {
    if (process.connected) process.send?.(message);
  };
  const begin = async (config: unknown): Promise<Running> => {
    // Before any key is made or read.
    if ((config as { readonly fips?: boolean }).fips === true) enterFips();
    return start(config as Config, { log });
  };
  const close = async (reason: string): Promise<void> => {
    if (closing) return;
    closing = true;
    log.info({ reason }, 'draining');
    setTimeout(() => {
      log.error('drain took too long');
      process.exit(70);
    }, DRAIN_LIMIT_MS).unref();
    try {
      await (await running)?.close();
    } catch (error) {
      log.error({ err: error }, 'drain failed');
      process.exit(70);
    }
    process.exit(0);
  };
  process.on('message', (message: ToService) => {
    if (message.kind === 'close') void close('asked by parent');
    if (message.kind !== 'config' || running !== undefined) return;
    running = begin(message.config);
    running.then(
      ({ addresses }) => {
        log.info({ addresses }, 'ready');
        tell({ kind: 'ready', addresses });
      },
      (error: unknown) => {
        const known =
          error instanceof StenoError ? error : new StenoError('INTERNAL', error instanceof Error ? error.message : String(error));
        log.error({ err: error }, 'start failed');
        tell({ kind: 'failed', code: known.code, detail: known.detail ?? '' });
        process.disconnect?.();
        process.exit(known.entry.exit);
      },
    );
  });
  process.on('disconnect', () => void close('parent gone'));
  process.on('SIGTERM', () => void close('SIGTERM'));
  // Ctrl-C reaches the whole process group: the parent decides the order in which stages drain.
  process.on('SIGINT', () => undefined);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'uncaught exception');
    process.exit(70);
  });
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'unhandled rejection');
    process.exit(70);
  });
  if (process.send === undefined) {
    log.fatal('this program is started by `steno up`');
    process.exit(64);
  }
}
