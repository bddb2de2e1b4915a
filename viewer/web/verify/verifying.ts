/**
 * Downloads a recording with its proof and has it verified.
 *
 *     downloading ──whole──► checking ──► outcome
 *          └──────────────────┴── failed: not allowed, cut off, too large for a page
 *
 * The download is an export: it takes that right and is noted as one.
 */
import type { SessionInfo } from '#schemas/api/recordings/sessions.js';
import type { RecordingCa } from '#schemas/api/recordings/status.js';
import { ApiFailure, getBody, getJson } from '../parts/api.js';
import type { Outcome, VerifyOrder, WorkerSays } from './outcome.js';

export type Verifying =
  | { readonly kind: 'downloading' | 'checking'; readonly share: number }
  | { readonly kind: 'outcome'; readonly outcome: Outcome; readonly cas: readonly string[] }
  | { readonly kind: 'failed'; readonly reason: string };

/** The file and its lines are held in memory at once; `steno verify` holds more. */
const MAX_LINES_BYTES = 512 << 20;

export function verifySession(session: SessionInfo, onChange: (state: Verifying) => void): () => void {
  const abort = new AbortController();
  let worker: Worker | null = null;
  const tell = (state: Verifying): void => {
    if (!abort.signal.aborted) onChange(state);
  };
  const run = async (): Promise<void> => {
    if (session.recording_bytes > MAX_LINES_BYTES)
      throw new ApiFailure('TOO_LARGE', 'this recording is too large for a page; the command takes it', '');
    tell({ kind: 'downloading', share: 0 });
    const { keys: cas } = await getJson<RecordingCa>('/api/recording-ca', abort.signal);
    const file = await download(`/api/sessions/${session.id}/export?format=cast.zst`, abort.signal, (bytes) => {
      tell({ kind: 'downloading', share: shareOf(bytes, session.stored_bytes) });
    });
    tell({ kind: 'checking', share: 0 });
    worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }: MessageEvent<WorkerSays>) => {
      if (data.kind === 'bytes') tell({ kind: 'checking', share: shareOf(data.bytes, 2 * session.recording_bytes) });
      else if (data.kind === 'failed') tell({ kind: 'failed', reason: data.reason });
      else tell({ kind: 'outcome', outcome: data.outcome, cas });
      if (data.kind !== 'bytes') worker?.terminate();
    };
    worker.onerror = () => tell({ kind: 'failed', reason: 'the check could not be run in this browser' });
    const order: VerifyOrder = { file, cas, session: session.id };
    worker.postMessage(order, [file]);
  };
  run().catch((error: unknown) =>
    tell({ kind: 'failed', reason: error instanceof ApiFailure ? error.message : 'the download was cut off' }),
  );
  return () => {
    abort.abort();
    worker?.terminate();
  };
}

/** Never quite whole: what the server said of its size is an estimate. */
function shareOf(bytes: number, of: number): number {
  return of === 0 ? 0 : Math.min(0.99, bytes / of);
}

async function download(path: string, signal: AbortSignal, onBytes: (bytes: number) => void): Promise<ArrayBuffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (const reader = (await getBody(path, signal)).getReader(); ;) {
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
