/**
 * A small signed recording, which tests then damage. What this folder is given by its callers has stand-ins that need no library: a hash
 * that depends on every byte, frames of one raw zstd block with a sum for a checksum, and a signature that is a hash of the message.
 */
import { cutBlocks } from '../recording/block.js';
import { TAG_BYTES, chainNext, chainStart, toHex } from '../recording/chain.js';
import { checkpointText } from '../recording/checkpoint.js';
import type { Checkpoint, SignedCheckpoint } from '../recording/checkpoint.js';
import { encodeProof, encodeSeekTable, readContainer } from '../recording/container.js';
import { encodeHeader, encodeLine, streamOf } from '../recording/line.js';
import type { RecordingHeader } from '../recording/line.js';
import { certificateId } from '../recording/proof.js';
import type { VerifierParts } from '../recording/verify.js';
import { encodeBase64 } from '../ssh/base64.js';
import { exampleHeader } from './recordings.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8');

/** 32 bytes that depend on every byte and its place. FNV-1a, eight seeds. */
export const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const words = Uint32Array.from({ length: 8 }, (_, seed) => 0x811c9dc5 ^ (seed * 0x9e3779b9));
  for (const part of parts)
    for (const byte of part) for (let i = 0; i < 8; i++) words[i] = Math.imul(words[i]! ^ byte, 0x01000193) ^ (words[i]! >>> 15);
  return new Uint8Array(words.buffer);
};

export const join = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

const sum = (content: Uint8Array): number => content.reduce((total, byte) => total + byte, 0);

/** A zstd frame of one raw block (RFC 8878, 3.1.1.2), with its content checked by a byte sum in place of XXH64. */
export function frame(content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === 'string' ? encoder.encode(content) : content;
  const head = new Uint8Array(12);
  const view = new DataView(head.buffer);
  view.setUint32(0, 0xfd2fb528, true);
  head[4] = 0xa4; // four bytes of content size, single segment, checksum
  view.setUint32(5, bytes.length, true);
  const block = (bytes.length << 3) | 1;
  head.set([block & 0xff, (block >> 8) & 0xff, block >> 16], 9);
  const check = new Uint8Array(4);
  new DataView(check.buffer).setUint32(0, sum(bytes), true);
  return join(head, bytes, check);
}

function unframe(bytes: Uint8Array): Uint8Array {
  const content = bytes.subarray(12, bytes.length - 4);
  if (new DataView(bytes.buffer, bytes.byteOffset + bytes.length - 4).getUint32(0, true) !== sum(content)) throw new Error('checksum');
  return content;
}

/** In the form of an Ed25519 signature: string "ssh-ed25519", string of 64 bytes. */
export function ed25519Signature(bytes: Uint8Array): string {
  return encodeBase64(join(Uint8Array.of(0, 0, 0, 11), encoder.encode('ssh-ed25519'), Uint8Array.of(0, 0, 0, 64), bytes));
}

function signatureOf(checkpoint: Checkpoint): string {
  const digest = sha256(encoder.encode(`key ${checkpointText(checkpoint)}`));
  return ed25519Signature(join(digest, digest));
}

export const certificate = encoder.encode('certificate of gw-1');
export const verifierParts: VerifierParts = {
  sha256,
  decompress: unframe,
  checkSignature: (checkpoint, blob) =>
    decoder.decode(blob) !== decoder.decode(certificate)
      ? 'unknown issuer'
      : checkpoint.signature === signatureOf(checkpoint)
        ? null
        : 'bad signature',
  fingerprint: (blob) => `SHA256:${encodeBase64(sha256(blob)).slice(0, 43)}`,
};
export const certificateProof = encodeProof({ kind: 'certificate', certificate });

export const output = (interval: number, data: string): string => encodeLine(interval, { code: 'o', data });
export const keyframe = encodeLine(0, { code: 'k', data: { cols: 80, rows: 24, screen: '' } });

/** Three parts of two or three blocks each; the second and the third are headed by a keyframe, as stored ones are. */
const threeParts: readonly string[] = [
  output(10, 'one') + output(1500, 'two'),
  keyframe + output(2000, 'three') + output(2000, 'four') + output(2000, 'five'),
  keyframe + output(2000, 'six') + encodeLine(2000, { code: 'x', data: '0' }),
];

export interface Recorded {
  /** Lines of each part; the header is put before the first. A list: of each of its data frames. */
  readonly texts?: readonly (string | readonly string[])[];
  readonly header?: RecordingHeader;
  /** Changes a checkpoint before it is signed. */
  readonly change?: (checkpoint: Checkpoint) => Checkpoint;
}

/** The parts: data frames, and the proof of all that comes before. The last one closes the session. */
export function record({ texts = threeParts, header = exampleHeader, change = (same) => same }: Recorded = {}): Uint8Array[] {
  let head = chainStart(sha256, header.steno.session, streamOf(header));
  let n = 0;
  let at = 0;
  let bytes = 0;
  return texts.map((text, i) => {
    const [start, ...more] = typeof text === 'string' ? [text] : text;
    const frames = start === undefined ? [] : [i === 0 ? encodeHeader(header) + start : start, ...more];
    const first = n + 1;
    const tags: number[] = [];
    for (const block of cutBlocks(encoder.encode(frames.join('')), { n, at })) {
      head = chainNext(sha256, head, block.content);
      tags.push(...head.subarray(0, TAG_BYTES));
      n = block.n;
      at = block.until;
      bytes += block.content.length;
    }
    const { session, gateway, counter } = header.steno;
    const end = i === texts.length - 1 ? 'complete' : 'open';
    const checkpoint = change({ session, gateway, counter, block: n, bytes, at, time: 1_763_800_000_000 + at, head: toHex(head), end });
    const signed: SignedCheckpoint = { ...checkpoint, signature: signatureOf(checkpoint) };
    const proof = encodeProof({
      kind: 'part',
      part: i + 1,
      first_block: first,
      tags: Uint8Array.from(tags),
      checkpoint: signed,
      certificate: certificateId(verifierParts.fingerprint(certificate)),
    });
    return join(...frames.map((lines) => frame(lines)), proof);
  });
}

/** The frames with the seek table that `steno export` writes. */
export function closed(...frames: readonly Uint8Array[]): Uint8Array {
  const file = join(...frames);
  const entries = [...readContainer(file)].map((segment) =>
    segment.kind === 'data'
      ? { compressed: segment.bytes.length, decompressed: segment.decompressed }
      : { compressed: segment.length, decompressed: 0 },
  );
  return join(file, encodeSeekTable(entries));
}

/** A whole file, behind its certificate. */
export function recorded(options: Recorded = {}): Uint8Array {
  return closed(certificateProof, ...record(options));
}

/** The same file with the checks of its frames made right again, as somebody who alters it would. */
export function repaired(file: Uint8Array): Uint8Array {
  const out = Uint8Array.from(file);
  for (const segment of readContainer(out)) {
    if (segment.kind === 'data') out.set(frame(segment.bytes.subarray(12, segment.bytes.length - 4)), segment.offset);
  }
  return out;
}
