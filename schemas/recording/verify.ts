/**
 * Verification of a recording, or of an event log, with nothing but the recording CA's public key.
 *
 * The steps, in this order; the first that fails decides the verdict, and `VERIFY_*` codes are the command's exit codes:
 *
 *     walk      frames from the start, up to one that cannot be read
 *     numbers   of the parts: 1, 2, 3, ...
 *     parts     each in order: its lines (part-walk.ts), tags, checkpoint, certificate, signature, then keyframes
 *     rest      where the walk stopped; lines that nobody signed; whether the last checkpoint closes the session
 *     layout    order of the frames, certificates, seek tables and index, all recomputed (container-check.ts)
 *
 * docs/format.md has the table of cases and codes; docs/verify.py takes the same steps, and test/verify compares the two
 * on thousands of altered recordings. Verification does not defend against a gateway that lies while it records
 * (docs/threat-model.md). Tested in verify.test.ts.
 */
import { StenoError } from '../base/errors.js';
import type { ErrorCode } from '../base/errors.js';
import { certificatesFault, indexFault, layoutFault, seekTableFault } from './container-check.js';
import { readContainer } from './container.js';
import type { Segment } from './container.js';
import { certificateId } from './proof.js';
import type { PartProof } from './proof.js';
import type { RecordingHeader } from './line.js';
import { withHeader } from './checkpoint.js';
import { PartWalk } from './part-walk.js';
import type { Fault, Verdict, VerifierParts } from './verdict.js';

export type { Verdict, VerifierParts } from './verdict.js';

export function verifyRecording(file: Uint8Array, parts: VerifierParts): Verdict {
  const found = collect(file);
  const walk = new PartWalk(parts);
  const fault = firstFault(found, walk, parts);
  const { header, n: blocks, at, bytes, keyframes } = walk;
  if (fault !== null || header === null)
    return { ok: false, code: 'VERIFY_ALTERED', detail: 'no header', block: null, ...fault, goodUntil: walk.goodUntil, header };
  const checkpoint = withHeader(header.steno, found.parts.at(-1)!.proof.checkpoint);
  return {
    ok: true,
    header,
    checkpoint,
    parts: found.parts.length,
    blocks,
    bytes,
    duration: at,
    keyframes,
    logged: walk.logged,
    keyframesChecked: parts.screens !== undefined,
  };
}

interface Part {
  readonly proof: PartProof;
  readonly frames: readonly Uint8Array[];
}

type End = { readonly kind: 'whole' } | { readonly kind: 'cut-off' } | { readonly kind: 'bad'; readonly detail: string };

interface Found {
  readonly segments: readonly Segment[];
  readonly parts: readonly Part[];
  /** Data frames that no proof follows. */
  readonly unsigned: number;
  readonly end: End;
}

function collect(file: Uint8Array): Found {
  const segments: Segment[] = [];
  const parts: Part[] = [];
  let frames: Uint8Array[] = [];
  let end: End = { kind: 'whole' };
  try {
    for (const segment of readContainer(file)) {
      segments.push(segment);
      if (segment.kind === 'data') frames.push(segment.bytes);
      if (segment.kind !== 'proof' || segment.proof.kind !== 'part') continue;
      parts.push({ proof: segment.proof, frames });
      frames = [];
    }
  } catch (error) {
    const detail = error instanceof StenoError ? (error.detail ?? '') : 'unreadable';
    end = detail === 'cut off' ? { kind: 'cut-off' } : { kind: 'bad', detail };
  }
  return { segments, parts, unsigned: frames.length, end };
}

function firstFault({ segments, parts: list, unsigned, end }: Found, walk: PartWalk, parts: VerifierParts): Fault | null {
  if (list.length === 0) return withoutParts(segments, end);
  const sequence = sequenceFault(list);
  if (sequence !== null) return sequence;
  const certificates = new Map<string, Uint8Array>();
  for (const segment of segments) {
    if (segment.kind === 'proof' && segment.proof.kind === 'certificate') {
      certificates.set(certificateId(parts.fingerprint(segment.proof.certificate)), segment.proof.certificate);
    }
  }
  for (const [i, { proof, frames }] of list.entries()) {
    const proven = walk.goodUntil;
    const fault =
      walk.part(proof, frames, i === list.length - 1) ?? signatureFault(proof, walk.header!, certificates, parts) ?? walk.screenFault;
    if (fault === null) continue;
    // The walk goes by the tags of the part. Where its head or its signature is wrong, they prove nothing.
    if (fault.block === proof.first_block) walk.goodUntil = proven;
    return fault;
  }
  const after = (code: ErrorCode, detail: string): Fault => ({ code, detail, block: walk.n + 1 });
  if (end.kind === 'bad') return after('VERIFY_ALTERED', end.detail);
  if (end.kind === 'cut-off') return after('VERIFY_TRUNCATED', `the file is cut off after block ${walk.n}`);
  const closed = list.at(-1)!.proof.checkpoint.end !== 'open';
  if (closed && unsigned > 0) return after('VERIFY_ALTERED', 'lines that nobody signed follow the end of the session');
  if (!closed) return after('VERIFY_TRUNCATED', `nothing closes the recording after block ${walk.n}`);
  const layout = layoutFault(segments, list.length);
  if (layout !== null) return layout;
  const named = list.map(({ proof }) => proof.certificate);
  const detail =
    certificatesFault([...certificates.keys()], segments, named) ??
    seekTableFault(segments) ??
    indexFault(segments, walk.header!.term, walk.places);
  return detail === null ? null : { code: 'VERIFY_ALTERED', detail, block: null };
}

/** The verdict on a file in which no checkpoint was found. */
function withoutParts(segments: readonly Segment[], end: End): Fault {
  const fault = (code: ErrorCode, detail: string): Fault => ({ code, detail, block: code === 'VERIFY_TRUNCATED' ? 1 : null });
  if (end.kind === 'bad') return fault(segments.length === 0 ? 'RECORDING_MALFORMED' : 'VERIFY_ALTERED', end.detail);
  const certified = segments.some((segment) => segment.kind === 'proof');
  if (end.kind === 'cut-off' || certified) return fault('VERIFY_TRUNCATED', 'the file ends inside its first part');
  if (segments.some(({ kind }) => kind === 'data')) return fault('VERIFY_UNSIGNED', 'the file carries no checkpoint');
  return fault('RECORDING_MALFORMED', 'the file holds no lines');
}

function sequenceFault(list: readonly Part[]): Fault | null {
  const numbers = list.map(({ proof }) => proof.part);
  const sorted = [...numbers].sort((a, b) => a - b);
  const missing = sorted.findIndex((part, i) => part !== i + 1);
  if (missing >= 0 && new Set(numbers).size === numbers.length) {
    const after = list.find(({ proof }) => proof.part === missing)?.proof.checkpoint.block ?? 0;
    return { code: 'VERIFY_MISSING_PART', detail: `part ${missing + 1} is missing`, block: after + 1 };
  }
  const place = numbers.findIndex((part, i) => part !== i + 1);
  if (place < 0) return null;
  return { code: 'VERIFY_REORDERED', detail: `part ${numbers[place]} is in position ${place + 1}`, block: list[place]!.proof.first_block };
}

/** Session, gateway and counter of the signed text come from the header; a checkpoint of another recording has another head. */
function signatureFault(
  proof: PartProof,
  header: RecordingHeader,
  certificates: ReadonlyMap<string, Uint8Array>,
  parts: VerifierParts,
): Fault | null {
  const certificate = certificates.get(proof.certificate);
  const detail =
    certificate === undefined
      ? 'the certificate of the recording key is not in the file'
      : parts.checkSignature(withHeader(header.steno, proof.checkpoint), certificate);
  return detail === null ? null : { code: 'VERIFY_UNSIGNED', detail: `part ${proof.part}: ${detail}`, block: proof.first_block };
}
