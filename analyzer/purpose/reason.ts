/**
 * Compares reasons of access requests with rules by phrases, as a reader would. Case is ignored, any run of blanks counts as one, and a
 * phrase begins and ends at word boundaries: `read only` is in "Read  only, please" and not in "thread only". Tested in reason.test.ts.
 */
import type { Purpose } from '../sigma/rule.js';

/** Longer reasons are compared up to this length. */
const MAX_REASON = 4_096;

export function isPurpose({ reason: wanted, unless }: Purpose, reason: string): boolean {
  const text = plain(reason);
  return (wanted.length === 0 || wanted.some((phrase) => has(text, phrase))) && !unless.some((phrase) => has(text, phrase));
}

/** Words that may be names of machines or services: letters, digits, dots, dashes and underscores. */
export function wordsOf(reason: string): ReadonlySet<string> {
  const words =
    reason
      .slice(0, MAX_REASON)
      .toLowerCase()
      .match(/[\p{L}\p{N}._-]+/gu) ?? [];
  return new Set(words.map((word) => word.replace(/^[._-]+|[._-]+$/g, '')).filter((word) => word !== ''));
}

/** Whether the reason names a ticket with one of these prefixes: `OPS` for OPS-17, `OPS 17` and OPS17. */
export function namesTicket(reason: string, trackers: readonly string[]): boolean {
  const tickets = reason
    .slice(0, MAX_REASON)
    .toUpperCase()
    .matchAll(/(?<![A-Z0-9])([A-Z][A-Z0-9]*?)[-_# ]?\d+(?![A-Z0-9])/g);
  return [...tickets].some(([, tracker]) => trackers.includes(tracker!));
}

/** Replaces every run of characters other than letters and digits by one blank, with one at each end. */
function plain(text: string): string {
  return ` ${text
    .slice(0, MAX_REASON)
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()} `;
}

function has(text: string, phrase: string): boolean {
  const wanted = plain(phrase);
  return wanted !== '  ' && wanted !== ' ' && text.includes(wanted);
}
