/**
 * Verification of a recording with nothing but the recording CA's public key.
 *
 * States: for each part in file order, decompress, cut blocks, walk the chain, compare tags and signed head. The first
 * failure decides the verdict; `VERIFY_*` codes are the command's exit codes. What it does not defend against is in
 * docs/threat-model.md: a gateway that lies while it records. Tested in verify.test.ts.
 */
import { StenoError } from '../errors.js';
import type { ErrorCode } from '../errors.js';
import { cutBlocks } from './block.js';
import { TAG_BYTES, chainNext, chainStart, toHex } from './chain.js';
import type { Sha256 } from './chain.js';
import { readContainer } from './container.js';
import type { Segment } from './container.js';
import { certificateId } from './proof.js';
import type { PartProof } from './proof.js';
import { parseHeader } from './line.js';
import type { RecordingHeader } from './line.js';
import { withHeader } from './checkpoint.js';
import type { SignedCheckpoint } from './checkpoint.js';

export interface VerifierParts {
  readonly sha256: Sha256;
  /** Decompresses one zstd data frame and checks its checksum; throws when it is damaged. */
  readonly decompress: (frame: Uint8Array) => Uint8Array;
  /**
   * Checks that `certificate` (SSH blob) was issued by the recording CA for `checkpoint.gateway`, was valid at
   * `checkpoint.time`, and made the signature. Returns what is wrong, or null.
   */
  readonly checkSignature: (checkpoint: SignedCheckpoint, certificate: Uint8Array) => string | null;
  /** `SHA256:...`, as OpenSSH prints it. */
  readonly fingerprint: (certificate: Uint8Array) => string;
}

export type Verdict =
  | {
      readonly ok: true;
      readonly header: RecordingHeader;
      readonly checkpoint: SignedCheckpoint;
      readonly parts: number;
      readonly blocks: number;
      /** Bytes of signed lines. */
      readonly bytes: number;
      /** Session time of the last line in ms. */
      readonly duration: number;
    }
  | {
      readonly ok: false;
      readonly code: ErrorCode;
      readonly detail: string;
      /** The first block that is bad or missing, where known. */
      readonly block: number | null;
      /** Session time in ms up to which everything was found good. */
      readonly goodUntil: number;
      readonly header: RecordingHeader | null;
    };

interface Part {
  readonly proof: PartProof;
  readonly frames: readonly Uint8Array[];
}

export function verifyRecording(file: Uint8Array, parts: VerifierParts): Verdict {
  let header: RecordingHeader | null = null;
  let goodUntil = 0;
  const fail = (code: ErrorCode, detail: string, block: number | null): Verdict => ({ ok: false, code, detail, block, goodUntil, header });

  const { list, certificates, trailing, end } = collect(file, parts);
  if (list.length === 0) {
    if (end.kind === 'bad') return fail('RECORDING_MALFORMED', end.detail, null);
    if (end.kind === 'cut-off' || certificates.size > 0) return fail('VERIFY_TRUNCATED', 'the file ends inside its first part', 1);
    return trailing
      ? fail('VERIFY_UNSIGNED', 'the file carries no checkpoint', null)
      : fail('RECORDING_MALFORMED', 'the file is empty', null);
  }
  const sequence = sequenceFault(list);
  if (sequence !== null) return fail(sequence.code, sequence.detail, sequence.block);

  let head: Uint8Array | null = null;
  let n = 0;
  let at = 0;
  let bytes = 0;
  let uncertified = false;
  for (const { proof, frames } of list) {
    if (proof.first_block !== n + 1)
      return fail('VERIFY_ALTERED', `part ${proof.part} says it starts at block ${proof.first_block}`, n + 1);
    let lines: Uint8Array;
    try {
      lines = concatenate(frames.map((frame) => parts.decompress(frame)));
    } catch {
      return fail('VERIFY_ALTERED', `a zstd frame of part ${proof.part} is damaged`, n + 1);
    }
    try {
      if (header === null) {
        header = parseHeader(new TextDecoder().decode(lines.subarray(firstSigned(lines), lines.indexOf(0x0a, firstSigned(lines)))));
        head = chainStart(parts.sha256, header.steno.session);
      }
      for (const block of cutBlocks(lines, { n, at })) {
        head = chainNext(parts.sha256, head!, block.content);
        bytes += block.content.length;
        const i = (block.n - proof.first_block) * TAG_BYTES;
        for (let k = 0; k < TAG_BYTES; k++) {
          if (proof.tags[i + k] !== head[k]) return fail('VERIFY_ALTERED', `block ${block.n} is not what was signed`, block.n);
        }
        n = block.n;
        at = block.until;
        goodUntil = at;
      }
    } catch (error) {
      if (error instanceof StenoError && error.code === 'RECORDING_VERSION') return fail('RECORDING_VERSION', error.detail ?? '', null);
      return fail('VERIFY_ALTERED', `part ${proof.part} is not made of recording lines`, n + 1);
    }
    // Session, gateway and counter of the signed text are the header's: a checkpoint of another recording has another head.
    const checkpoint = withHeader(header.steno, proof.checkpoint);
    if (checkpoint.block !== n || checkpoint.bytes !== bytes || checkpoint.at !== at || checkpoint.head !== toHex(head!)) {
      return fail('VERIFY_ALTERED', `the checkpoint of part ${proof.part} does not match its blocks`, proof.first_block);
    }
    const certificate = certificates.get(proof.certificate);
    if (certificate === undefined) {
      // It may stand at the end of the file: then what is missing is the end.
      uncertified = true;
      continue;
    }
    const fault = parts.checkSignature(checkpoint, certificate);
    if (fault !== null) return fail('VERIFY_UNSIGNED', `part ${proof.part}: ${fault}`, proof.first_block);
  }
  const last = withHeader(header!.steno, list.at(-1)!.proof.checkpoint);
  const unclosed = last.end === 'open' || end.kind === 'cut-off' || (trailing && end.kind === 'whole');
  if (uncertified && !unclosed) return fail('VERIFY_UNSIGNED', 'the certificate of the recording key is not in the file', null);
  if (unclosed) {
    return fail('VERIFY_TRUNCATED', `nothing closes the recording after block ${n}`, n + 1);
  }
  if (end.kind === 'bad') return fail('VERIFY_ALTERED', end.detail, n + 1);
  return { ok: true, header: header!, checkpoint: last, parts: list.length, blocks: n, bytes, duration: at };
}

type End = { readonly kind: 'whole' } | { readonly kind: 'cut-off' } | { readonly kind: 'bad'; readonly detail: string };

function collect(
  file: Uint8Array,
  parts: VerifierParts,
): {
  list: Part[];
  certificates: Map<string, Uint8Array>;
  trailing: boolean;
  end: End;
} {
  const list: Part[] = [];
  const certificates = new Map<string, Uint8Array>();
  let frames: Uint8Array[] = [];
  let end: End = { kind: 'whole' };
  const take = (segment: Segment): void => {
    if (segment.kind === 'data') frames.push(segment.bytes);
    if (segment.kind !== 'proof') return;
    if (segment.proof.kind === 'part') {
      list.push({ proof: segment.proof, frames });
      frames = [];
    } else {
      certificates.set(certificateId(parts.fingerprint(segment.proof.certificate)), segment.proof.certificate);
    }
  };
  try {
    for (const segment of readContainer(file)) take(segment);
  } catch (error) {
    const detail = error instanceof StenoError ? (error.detail ?? '') : 'unreadable';
    end = detail === 'cut off' ? { kind: 'cut-off' } : { kind: 'bad', detail };
  }
  return { list, certificates, trailing: frames.length > 0, end };
}

function sequenceFault(list: readonly Part[]): { code: ErrorCode; detail: string; block: number } | null {
  const numbers = list.map(({ proof }) => proof.part);
  const sorted = [...numbers].sort((a, b) => a - b);
  const missing = sorted.findIndex((part, i) => part !== i + 1);
  if (missing >= 0 && new Set(numbers).size === numbers.length) {
    const after = list.find(({ proof }) => proof.part === missing)?.proof.checkpoint.block ?? 0;
    return { code: 'VERIFY_MISSING_PART', detail: `part ${missing + 1} is missing`, block: after + 1 };
  }
  const place = numbers.findIndex((part, i) => part !== i + 1);
  if (place < 0) return null;
  return { code: 'VERIFY_REORDERED', detail: `part ${numbers[place]} stands in place ${place + 1}`, block: list[place]!.proof.first_block };
}

/** Where the first line stands that is not a keyframe. */
function firstSigned(lines: Uint8Array): number {
  return lines[0] === 0x7b ? 0 : lines.indexOf(0x0a) + 1;
}

function concatenate(frames: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(frames.reduce((sum, frame) => sum + frame.length, 0));
  let offset = 0;
  for (const frame of frames) {
    whole.set(frame, offset);
    offset += frame.length;
  }
  return whole;
}
