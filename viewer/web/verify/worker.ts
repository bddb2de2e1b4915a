/**
 * Verifies in a separate thread, because hashing a long recording takes seconds, during which the page must stay responsive. The worker
 * gets a recording, and then, if the recording names one, its event log, each time the page has fetched it again.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { isUnfinished, verifyEventLog } from '#schemas/recording/event-log-check.js';
import type { LoggedRecording } from '#schemas/recording/event-log-check.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { verifyInBrowser } from './browser-verifier.js';
import { decompressFrame, openFrames } from './frames.js';
import { logOutcomeOf, outcomeOf } from './outcome.js';
import type { VerifyOrder, WorkerSays } from './outcome.js';

/** Progress is reported to the page at this interval, in bytes. */
const TELL_BYTES = 2 << 20;

const say = (what: WorkerSays): void => self.postMessage(what);
const messageOf = (code: string): string => new StenoError(code as ErrorCode).entry.message;

let verified: (LoggedRecording & { readonly cas: readonly string[] }) | null = null;

async function run(order: VerifyOrder): Promise<void> {
  await openFrames();
  if (order.kind === 'recording') {
    const verdict = verify(new Uint8Array(order.file), order.cas);
    if (verdict.ok) verified = { header: verdict.header, logged: verdict.logged, cas: order.cas };
    return say({ kind: 'recording', outcome: outcomeOf(verdict, order.session, messageOf) });
  }
  const recording = verified;
  if (recording === null) throw new Error('no recording was verified');
  const file = order.file === null ? null : new Uint8Array(order.file);
  const verdict = verifyEventLog(recording, file, (log) => verify(log, recording.cas));
  say({ kind: 'log', outcome: logOutcomeOf(verdict, messageOf), unfinished: isUnfinished(verdict) });
}

function verify(file: Uint8Array, cas: readonly string[]): Verdict {
  let bytes = 0;
  let told = 0;
  return verifyInBrowser(file, {
    cas,
    decompress: decompressFrame,
    onBytes(more) {
      bytes += more;
      if (bytes - told < TELL_BYTES) return;
      told = bytes;
      say({ kind: 'bytes', bytes });
    },
  });
}

self.onmessage = ({ data }: MessageEvent<VerifyOrder>) => {
  run(data).catch((error: unknown) => say({ kind: 'failed', reason: error instanceof Error ? error.message : 'it broke off' }));
};
