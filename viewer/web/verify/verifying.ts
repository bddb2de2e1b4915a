/**
 * Downloads a recording with its proof and has it verified; then does the same with its event log, if the recording names one.
 *
 *     downloading ──whole──► checking ──good, and it names a log──► log ──► outcome
 *          │                    └──no log named, or not good──────────────────┘
 *          └─────────────────── any: failed: not allowed, cut off, too large for a page
 *
 * A log closes after its recording, so an unfinished log is fetched again for some seconds. Each download is an export: it requires
 * that right and is logged as one.
 */
import type { ExportFormat, SessionInfo } from '#schemas/api/recordings/sessions.js';
import { logPatience } from '#schemas/recording/event-log-check.js';
import { ApiFailure } from '../parts/api.js';
import { ask, respond } from '../parts/endpoints.js';
import type { LogOutcome, Outcome, VerifyOrder, WorkerSays } from './outcome.js';

export type Verifying =
  | { readonly kind: 'downloading' | 'checking'; readonly share: number }
  | { readonly kind: 'log' }
  | { readonly kind: 'outcome'; readonly outcome: Outcome; readonly log: FoundLog | null; readonly cas: readonly string[] }
  | { readonly kind: 'failed'; readonly reason: string };

export interface FoundLog {
  readonly outcome: LogOutcome;
  readonly unfinished: boolean;
}

/** The file and its lines are in memory at the same time; `steno verify` handles larger recordings. */
const MAX_LINES_BYTES = 512 << 20;
/** Compressed size; the lines of a log are about fifteen times as large. */
const MAX_LOG_BYTES = 64 << 20;
const LOG_AGAIN_MS = 1_000;

export function verifySession(session: SessionInfo, onChange: (state: Verifying) => void): () => void {
  const abort = new AbortController();
  const tell = (state: Verifying): void => {
    if (!abort.signal.aborted) onChange(state);
  };
  run(session, abort.signal, tell).catch((error: unknown) =>
    tell({
      kind: 'failed',
      reason: error instanceof ApiFailure || error instanceof WorkerFailure ? error.message : 'the download was cut off',
    }),
  );
  return () => abort.abort();
}

async function run(session: SessionInfo, signal: AbortSignal, tell: (state: Verifying) => void): Promise<void> {
  if (session.recording_bytes > MAX_LINES_BYTES) throw tooLarge('recording');
  tell({ kind: 'downloading', share: 0 });
  const { keys: cas } = await ask('GET /api/recording-ca', {}, signal);
  const file = await download(session.id, 'cast.zst', signal, (bytes) => {
    tell({ kind: 'downloading', share: shareOf(bytes, session.stored_bytes) });
  });
  tell({ kind: 'checking', share: 0 });
  const worker = new VerifyWorker(signal, (bytes) => tell({ kind: 'checking', share: shareOf(bytes, 2 * session.recording_bytes) }));
  try {
    const said = await worker.ask({ kind: 'recording', file, cas, session: session.id });
    if (said.kind !== 'recording') return;
    const { outcome } = said;
    let log: FoundLog | null = null;
    if (outcome.kind === 'verified' && outcome.logged) {
      tell({ kind: 'log' });
      log = await verifyLog(session.id, outcome.signedAt, signal, worker);
    }
    tell({ kind: 'outcome', outcome, log, cas });
  } finally {
    worker.close();
  }
}

async function verifyLog(session: string, signedAt: number, signal: AbortSignal, worker: VerifyWorker): Promise<FoundLog | null> {
  for (const until = Date.now() + logPatience(signedAt, Date.now()); ; await pause(LOG_AGAIN_MS, signal)) {
    const file = await download(session, 'events.zst', signal, (bytes) => {
      if (bytes > MAX_LOG_BYTES) throw tooLarge('event log');
    }).catch((error: unknown) => {
      if (error instanceof ApiFailure && error.code === 'NOT_FOUND') return null;
      throw error;
    });
    const said = await worker.ask({ kind: 'log', file });
    if (said.kind !== 'log' || said.outcome === null) return null;
    if (!said.unfinished || Date.now() >= until) return { outcome: said.outcome, unfinished: said.unfinished };
  }
}

class WorkerFailure extends Error {}

/** One order at a time. */
class VerifyWorker {
  readonly #worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  readonly #onBytes: (bytes: number) => void;

  constructor(signal: AbortSignal, onBytes: (bytes: number) => void) {
    this.#onBytes = onBytes;
    signal.addEventListener('abort', () => this.close());
  }

  /** Never settles once closed, since the caller has gone. */
  ask(order: VerifyOrder): Promise<WorkerSays> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<WorkerSays>) => {
        if (data.kind === 'bytes') this.#onBytes(data.bytes);
        else if (data.kind === 'failed') reject(new WorkerFailure(data.reason));
        else resolve(data);
      };
      this.#worker.onerror = () => reject(new WorkerFailure('the check could not be run in this browser'));
      this.#worker.postMessage(order, order.file === null ? [] : [order.file]);
    });
  }

  close(): void {
    this.#worker.terminate();
  }
}

function tooLarge(what: 'recording' | 'event log'): ApiFailure {
  return new ApiFailure('TOO_LARGE', `this ${what} is too large for a page; the command takes it`, '');
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new Error('closed'));
    });
  });
}

/** Never quite 1: the size that the server reported is an estimate. */
function shareOf(bytes: number, of: number): number {
  return of === 0 ? 0 : Math.min(0.99, bytes / of);
}

async function download(id: string, format: ExportFormat, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<ArrayBuffer> {
  const { body } = await respond('GET /api/sessions/:id/export', { params: { id }, query: { format } }, signal);
  if (body === null) throw new ApiFailure('INTERNAL', 'the answer is empty', '');
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (const reader = body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
    onBytes(length);
  }
  const file = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    file.set(chunk, offset);
    offset += chunk.length;
  }
  return file.buffer;
}
