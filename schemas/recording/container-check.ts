/**
 * Checks the parts of a container that no signature covers, by recomputing them: order of frames, certificates present, seek
 * table entries, and the index. Each function returns the fault, or null. Tested in container-check.test.ts and test/verify.
 */
import type { Segment } from './container.js';
import { readNumber } from './proof.js';
import type { Fault, Place } from './verdict.js';

const letters = { certificate: 'C', part: 'P', data: 'D', index: 'I', 'seek-table': 'S' } as const;
const kindOf = (segment: Segment): keyof typeof letters => (segment.kind === 'proof' ? segment.proof.kind : segment.kind);

/** A file consists of certificates, then objects as stored, or their data frames and proofs with one seek table. */
const layout = /^C+(?:D*PS?)*D*PI?S$/;

export function layoutFault(segments: readonly Segment[], parts: number): Fault | null {
  const kinds = segments.map((segment) => letters[kindOf(segment)]).join('');
  if (!kinds.endsWith('S')) return { code: 'VERIFY_TRUNCATED', detail: 'the seek table at the end is missing', block: null };
  if (layout.test(kinds) && (parts === 1 || !kinds.includes('I'))) return null;
  return { code: 'VERIFY_ALTERED', detail: 'a frame is in an impossible position', block: null };
}

/** `ids`: of the certificates, without duplicates. `named`: by the proofs, in order. */
export function certificatesFault(ids: readonly string[], segments: readonly Segment[], named: readonly string[]): string | null {
  const there = segments.filter((segment) => kindOf(segment) === 'certificate').length;
  const wanted = [...new Set(named)];
  return there === ids.length && ids.length === wanted.length && ids.every((id, i) => id === wanted[i])
    ? null
    : 'the certificates are not those that the proofs name, in their order';
}

/** A table lists all frames since the previous table; that of a stored object lists only its data frames. */
export function seekTableFault(segments: readonly Segment[]): string | null {
  let since: { readonly kind: string; readonly compressed: number; readonly decompressed: number }[] = [];
  for (const segment of segments) {
    const kind = kindOf(segment);
    if (segment.kind !== 'seek-table') {
      since.push({
        kind,
        compressed: segment.kind === 'data' ? segment.bytes.length : segment.length,
        decompressed: segment.kind === 'data' ? segment.decompressed : 0,
      });
      continue;
    }
    const lists = (frames: typeof since): boolean =>
      frames.length === segment.entries.length &&
      frames.every(
        ({ compressed, decompressed }, i) =>
          segment.entries[i]!.compressed === compressed && segment.entries[i]!.decompressed === decompressed,
      );
    const ofObject = since.filter((frame) => frame.kind === 'part').length === 1 && lists(since.filter((frame) => frame.kind === 'data'));
    if (!lists(since) && !ofObject) return `the seek table at byte ${segment.offset} does not list the frames before it`;
    since = [];
  }
  return null;
}

const ENTRY_BYTES = 18;

/** Segments begin at every frame, and may begin at keyframes. */
export function indexFault(
  segments: readonly Segment[],
  term: { readonly cols: number; readonly rows: number },
  places: readonly Place[],
): string | null {
  const index = segments.find((segment) => segment.kind === 'index');
  if (index?.kind !== 'index') return null;
  const { content } = index;
  const wrong = 'the index does not say where segments begin';
  if (
    content.length < 4 ||
    (content.length - 4) % ENTRY_BYTES !== 0 ||
    readNumber(content, 0, 2) !== term.cols ||
    readNumber(content, 2, 2) !== term.rows
  )
    return wrong;
  // `places` is in order: each entry is the next place, or skips some.
  let at = 4;
  for (const { frame, offset, at: start, block } of places.slice(1)) {
    const listed =
      at < content.length &&
      readNumber(content, at, 4) === frame &&
      readNumber(content, at + 4, 4) === offset &&
      readNumber(content, at + 8, 6) === start &&
      readNumber(content, at + 14, 4) === block;
    if (listed) at += ENTRY_BYTES;
    else if (offset === 0) return wrong;
  }
  return at === content.length ? null : wrong;
}
