/**
 * Everything that a page needs to show a session at first, in one answer: the caller, the session, its segments, and the
 * lines of the segment that holds the requested moment. Four dependent calls would take four round trips before the first
 * screen.
 *
 *     GET /api/sessions/:id/opening?at=MS     text: one line of JSON (`SessionOpening`), then the segment's lines unchanged
 *
 * The server names this address in a header of the page, so that the browser fetches it while scripts load; both sides must
 * write it identically, hence `openingPath`. Markers are left out: they come with the facts, which the first screen does not
 * need. Tested in opening.test.ts and viewer/api/main.test.ts.
 */
import type { Me } from '../front/sign-in.js';
import type { Watermark } from '../../offline/watermark.js';
import type { SegmentIndex, SessionInfo } from './sessions.js';

export interface SessionOpening {
  readonly me: Me;
  readonly session: SessionInfo;
  readonly index: Omit<SegmentIndex, 'markers' | 'watermark'>;
  /** Drawn over everything shown of the session. Omitted if no role of the caller requires a watermark. */
  readonly watermark?: Watermark;
  /** The segment whose lines follow; null while nothing of the recording is stored, or if the segment cannot be read. */
  readonly first: number | null;
}

export function openingPath(session: string, at: number | null): string {
  return `/api/sessions/${session}/opening${at === null ? '' : `?at=${at}`}`;
}

/** The moment in ms that `t` in the address of a page names; null if it names none. */
export function momentOf(t: string | null): number | null {
  return t !== null && /^\d{1,12}$/.test(t) ? Number(t) : null;
}

/** The segment to show first: that of the moment, otherwise the last of a live session, otherwise the first. */
export function firstSegment(segments: readonly { readonly start: number }[], live: boolean, at: number | null): number | null {
  if (segments.length === 0) return null;
  return segmentAt(segments, at ?? (live ? Number.POSITIVE_INFINITY : 0));
}

/** The segment that holds the moment. The first is drawn from its lines alone: segment boundaries and keyframes are not signed. */
export function segmentAt(segments: readonly { readonly start: number }[], at: number): number {
  return at <= 0 ? 0 : lastAtOrBefore(segments.length, (n) => segments[n]!.start, at);
}

/** Index of the last of ascending numbers that is not above `value`; 0 if all are above it. */
export function lastAtOrBefore(count: number, numberAt: (i: number) => number, value: number): number {
  let low = 0;
  let high = count;
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if (numberAt(middle) <= value) low = middle;
    else high = middle;
  }
  return low;
}

export function encodeOpening(opening: SessionOpening, lines: Uint8Array): Uint8Array {
  // JSON.stringify writes no newline.
  const head = new TextEncoder().encode(`${JSON.stringify(opening)}\n`);
  const whole = new Uint8Array(head.length + lines.length);
  whole.set(head);
  whole.set(lines, head.length);
  return whole;
}

export function decodeOpening(text: string): { readonly opening: SessionOpening; readonly lines: string } {
  const newline = text.indexOf('\n');
  return { opening: JSON.parse(text.slice(0, newline)) as SessionOpening, lines: text.slice(newline + 1) };
}
