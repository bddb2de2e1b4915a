/**
 * Whether the event log delivered with a recording belongs to it, complete and unaltered. The recording is verified first,
 * since only a good recording proves that a log exists. Used by `steno verify` and the page; docs/verify.py takes the same
 * steps. Tested in event-log-check.test.ts.
 */
import { streamOf } from './line.js';
import type { RecordingHeader } from './line.js';
import type { Fault, Verdict } from './verdict.js';

/** Facts of a recording that was found good. */
export type LoggedRecording = Pick<Extract<Verdict, { readonly ok: true }>, 'header' | 'logged'>;

/** `log`: null if the server has none. Returns null if the recording names no log and none was found. */
export function verifyEventLog(
  { header, logged }: LoggedRecording,
  log: Uint8Array | null,
  verify: (file: Uint8Array) => Verdict,
): Verdict | null {
  const bad = ({ code, detail, block }: Fault): Verdict => ({ ok: false, code, detail, block, goodUntil: 0, header });
  if (log === null) {
    const detail = 'it is missing, or nothing of it is stored yet';
    return logged ? bad({ code: 'VERIFY_MISSING_PART', detail, block: null }) : null;
  }
  const verdict = verify(log);
  if (!verdict.ok) return verdict;
  const fault = pairFault(header, verdict.header);
  return fault === null ? verdict : bad(fault);
}

/**
 * Whether an event log belongs to a recording, both having been verified: same session, number and gateway. Returns the
 * fault, or null.
 */
export function pairFault(recording: RecordingHeader, log: RecordingHeader): Fault | null {
  const [a, b] = [recording.steno, log.steno];
  if (streamOf(recording) !== 'recording' || streamOf(log) !== 'events')
    return { code: 'VERIFY_ALTERED', detail: 'not a recording and an event log', block: null };
  if (a.session === b.session && a.gateway === b.gateway && a.counter === b.counter) return null;
  return { code: 'VERIFY_ALTERED', detail: `the event log is of session ${b.session}`, block: null };
}

/** A log closes after its recording: until this long after the recording's end, an open log is expected. */
const RECENT_MS = 120_000;
/** How long a caller that can retry waits for it. */
const PATIENCE_MS = 15_000;

/** How long to wait for the log of a recording that was closed at `signedAt` before a missing or unclosed log is reported. */
export function logPatience(signedAt: number, now: number): number {
  return now - signedAt < RECENT_MS ? PATIENCE_MS : 0;
}

/** The log has no fault except that its end has not been found. */
export function isUnfinished(verdict: Verdict | null): boolean {
  return verdict !== null && !verdict.ok && (verdict.code === 'VERIFY_MISSING_PART' || verdict.code === 'VERIFY_TRUNCATED');
}
