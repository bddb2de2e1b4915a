/**
 * How far a reader can trust a standalone page.
 *
 *     checking ──► consistent ──a key of the reader's──► verified
 *         │            └────────────────────────────────► foreign      that key signed nothing here
 *         └──► broken                                                  a byte was changed, or the end is missing
 *
 * Only a key that the reader supplies makes a recording verified: somebody who forges a recording also makes up a key.
 * Tested in trust.test.ts.
 */
import type { LogOutcome, Refused, Verified } from '../verify/outcome.js';
import type { Checked } from './messages.js';

export type Trust =
  | { readonly kind: 'checking' }
  | { readonly kind: 'consistent' | 'verified' | 'foreign'; readonly recording: Verified; readonly log: LogOutcome | null }
  | { readonly kind: 'broken'; readonly title: string; readonly detail: string; readonly until: number | null };

/**
 * `faults`: faults of the page around the recording. `own`: the result of the check with the reader's keys; null if the reader gave
 * none.
 */
export function trustOf(came: Checked, own: Checked | null, faults: readonly string[]): Trust {
  // The reader's key takes precedence over the embedded ones: without it, anybody may have signed the recording.
  const checked = own !== null && own.recording.kind === 'verified' ? own : came;
  const { recording, log, unfinished } = checked;
  if (recording.kind === 'refused') return broken('The recording', recording);
  if (log?.kind === 'refused' && !(unfinished && log.block !== null)) return broken('The event log', log);
  if (faults.length > 0) return { kind: 'broken', title: 'This file was changed', detail: faults.slice(0, 4).join('; '), until: null };
  const kind = own === null ? 'consistent' : own.recording.kind === 'verified' ? 'verified' : 'foreign';
  return { kind, recording, log };
}

function broken(what: string, { code, message, detail, block, goodUntil }: Refused): Trust {
  const place = block === null ? '' : `, at block ${block}`;
  const title = code === 'VERIFY_TRUNCATED' ? `${what} has no end${place}` : `${what} is broken${place}`;
  return { kind: 'broken', title, detail: `${message}: ${detail}`, until: block === null ? null : goodUntil };
}

/** The keys in pasted text or a dropped file, in the formats that the verifier takes: authorized_keys, allowed_signers, or bare. */
export function keysIn(text: string): readonly string[] {
  const found = text
    .slice(0, 1 << 20)
    .matchAll(/(?:^|[\s,])((?:ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) AAAA[A-Za-z0-9+/]+={0,2})(?=\s|$)/g);
  return [...new Set([...found].map(([, key]) => key!))];
}
