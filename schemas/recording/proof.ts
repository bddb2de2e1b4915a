/**
 * Proofs, as bytes: the signature of a part, and the certificate of the signing key. Numbers are little-endian.
 *
 *     part          0  u8      kind, 1
 *                   1  u8      end: 0 open, 1 complete, 2 interrupted
 *                   2  u32     number of the part, from 1
 *                   6  u32     block: blocks so far
 *                  10  u48     bytes of lines so far
 *                  16  u48     at: session time of the last line, ms
 *                  22  u48     time of signing, ms since 1970
 *                  28  [32]    head
 *                  60  [16]    first bytes of the SHA-256 of the certificate
 *                  76  [64]    Ed25519 signature
 *                 140  [1]...  tags, one for each block of the part
 *     certificate   0  u8      kind, 2
 *                   1  ...     the SSH blob
 *
 * Session, gateway and counter are in the signed text (checkpoint.ts) and in the header, so not here. The first block
 * follows from `block` and the number of tags. Tested in proof.test.ts.
 */
import { StenoError } from '../base/errors.js';
import { decodeBase64, encodeBase64 } from '../ssh/base64.js';
import { TAG_BYTES, fromHex, toHex } from './chain.js';
import type { StoredCheckpoint } from './checkpoint.js';

export type Proof = PartProof | CertificateProof;

/** Closes a part: the checkpoint covers the blocks of this part and of all earlier parts. */
export interface PartProof {
  readonly kind: 'part';
  /** Counts from 1. */
  readonly part: number;
  readonly first_block: number;
  /** The first `TAG_BYTES` of h[n] for each block of the part. */
  readonly tags: Uint8Array;
  readonly checkpoint: StoredCheckpoint;
  /** `certificateId` of the gateway's recording certificate. */
  readonly certificate: string;
}

/** The gateway's recording certificate, an SSH blob. */
export interface CertificateProof {
  readonly kind: 'certificate';
  readonly certificate: Uint8Array;
}

const ID_BYTES = 16;
/** The id of a certificate in proofs and object keys: the first 16 bytes of its SHA-256 in hex, from `SHA256:...`. */
export function certificateId(fingerprint: string): string {
  const digest = /^SHA256:[A-Za-z0-9+/]{43}$/.test(fingerprint) ? decodeBase64(`${fingerprint.slice(7)}=`) : undefined;
  if (digest === undefined) throw new StenoError('RECORDING_MALFORMED', 'not a fingerprint');
  return toHex(digest.subarray(0, ID_BYTES));
}

const PART = 1;
const CERTIFICATE = 2;
const PART_BYTES = 140;
const ends = ['open', 'complete', 'interrupted'] as const;
/** The bytes before an Ed25519 signature in its SSH blob (RFC 8709, 6): string "ssh-ed25519", length 64. */
const signatureHead = Uint8Array.of(0, 0, 0, 11, ...[...'ssh-ed25519'].map((letter) => letter.charCodeAt(0)), 0, 0, 0, 64);

/** Throws RECORDING_MALFORMED if a field does not fit: another signature algorithm, a number out of bounds. */
export function proofContent(proof: Proof): Uint8Array {
  if (proof.kind === 'certificate') {
    const content = new Uint8Array(1 + proof.certificate.length);
    content[0] = CERTIFICATE;
    content.set(proof.certificate, 1);
    return content;
  }
  const bad = (field: string): StenoError => new StenoError('RECORDING_MALFORMED', `a proof cannot hold this ${field}`);
  const { checkpoint, tags } = proof;
  const head = fromHex(checkpoint.head, 32);
  const certificate = fromHex(proof.certificate, ID_BYTES);
  const signature = decodeBase64(checkpoint.signature);
  if (head === null) throw bad('head');
  if (certificate === null) throw bad('certificate');
  if (signature?.length !== signatureHead.length + 64 || signatureHead.some((byte, i) => signature[i] !== byte)) throw bad('signature');
  if (tags.length % TAG_BYTES !== 0 || proof.first_block !== checkpoint.block - tags.length / TAG_BYTES + 1) throw bad('number of tags');
  const content = new Uint8Array(PART_BYTES + tags.length);
  const number = (offset: number, length: number, value: number): void => {
    if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** (8 * length)) throw bad('number');
    for (let i = 0, rest = value; i < length; i++, rest = Math.floor(rest / 256)) content[offset + i] = rest % 256;
  };
  content[0] = PART;
  content[1] = ends.indexOf(checkpoint.end);
  number(2, 4, proof.part);
  number(6, 4, checkpoint.block);
  number(10, 6, checkpoint.bytes);
  number(16, 6, checkpoint.at);
  number(22, 6, checkpoint.time);
  content.set(head, 28);
  content.set(certificate, 60);
  content.set(signature.subarray(signatureHead.length), 76);
  content.set(tags, PART_BYTES);
  return content;
}

/** `place`: offset of the frame in its file, for the message. Throws RECORDING_MALFORMED. */
export function parseProof(content: Uint8Array, place: number): Proof {
  const bad = (): StenoError => new StenoError('RECORDING_MALFORMED', `unreadable proof at byte ${place}`);
  if (content[0] === CERTIFICATE && content.length > 1) return { kind: 'certificate', certificate: content.slice(1) };
  const end = ends[content[1] ?? ends.length];
  if (content[0] !== PART || end === undefined || content.length < PART_BYTES || (content.length - PART_BYTES) % TAG_BYTES !== 0)
    throw bad();
  const number = (offset: number, length: number): number => readNumber(content, offset, length);
  const tags = content.slice(PART_BYTES);
  const block = number(6, 4);
  const first = block - tags.length / TAG_BYTES + 1;
  if (number(2, 4) < 1 || first < 1) throw bad();
  const signature = Uint8Array.of(...signatureHead, ...content.subarray(76, PART_BYTES));
  return {
    kind: 'part',
    part: number(2, 4),
    first_block: first,
    tags,
    certificate: toHex(content.subarray(60, 76)),
    checkpoint: {
      block,
      bytes: number(10, 6),
      at: number(16, 6),
      time: number(22, 6),
      head: toHex(content.subarray(28, 60)),
      end,
      signature: encodeBase64(signature),
    },
  };
}

/** A little-endian number of up to six bytes. */
export function readNumber(content: Uint8Array, offset: number, length: number): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + content[offset + i]!;
  return value;
}
