/** Takes recordings apart into frames and reassembles them, as an attacker would. */
import { BlockCutter } from '#schemas/recording/block.js';
import { chainNext, chainStart, toHex } from '#schemas/recording/chain.js';
import type { Checkpoint, SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { encodeProof, encodeSeekTable, readContainer } from '#schemas/recording/container.js';
import { peekLine } from '#schemas/recording/line.js';
import { certificateId } from '#schemas/recording/proof.js';
import type { PartProof } from '#schemas/recording/proof.js';
import { fingerprint } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { sha256 } from '#runtime/ssh/verifier.js';
import type { Zstd } from '#runtime/zstd.js';
import { signCheckpoint } from '#recordings/testing/recorder.js';

export type PieceKind = 'certificate' | 'data' | 'part' | 'index' | 'seek-table';
export interface Piece {
  readonly kind: PieceKind;
  readonly bytes: Buffer;
  /** Decompressed length; 0 for frames other than data. */
  readonly decompressed: number;
}

export function piecesOf(file: Uint8Array): Piece[] {
  return [...readContainer(file)].map((segment) => {
    const kind = segment.kind === 'proof' ? segment.proof.kind : segment.kind;
    if (segment.kind === 'data') return { kind, bytes: Buffer.from(segment.bytes), decompressed: segment.decompressed };
    return { kind, bytes: Buffer.from(file.subarray(segment.offset, segment.offset + segment.length)), decompressed: 0 };
  });
}

export const joined = (pieces: readonly Piece[]): Buffer => Buffer.concat(pieces.map(({ bytes }) => bytes));

/** Replaces the seek table with one for the current frames. */
export function closed(pieces: readonly Piece[]): Buffer {
  const rest = pieces.filter(({ kind }) => kind !== 'seek-table');
  return Buffer.concat([
    joined(rest),
    encodeSeekTable(rest.map(({ bytes, decompressed }) => ({ compressed: bytes.length, decompressed }))),
  ]);
}

export const data = (zstd: Zstd, content: Uint8Array, level = 3): Piece => ({
  kind: 'data',
  bytes: Buffer.from(zstd.compress(content, level)),
  decompressed: content.length,
});
export const certificatePiece = (certificate: Uint8Array): Piece => ({
  kind: 'certificate',
  bytes: Buffer.from(encodeProof({ kind: 'certificate', certificate })),
  decompressed: 0,
});

export function proofOf({ bytes }: Piece): PartProof {
  const [segment] = [...readContainer(bytes)];
  if (segment?.kind !== 'proof' || segment.proof.kind !== 'part') throw new Error('no proof');
  return segment.proof;
}
export const proofPiece = (proof: PartProof): Piece => ({ kind: 'part', bytes: Buffer.from(encodeProof(proof)), decompressed: 0 });

/** Lines including their newlines. */
export function linesOf(content: Uint8Array): Buffer[] {
  const bytes = Buffer.from(content);
  const lines: Buffer[] = [];
  for (let start = 0; start < bytes.length;) {
    const end = bytes.indexOf(0x0a, start) + 1 || bytes.length;
    lines.push(bytes.subarray(start, end));
    start = end;
  }
  return lines;
}
export const isKeyframe = (line: Buffer): boolean => line.toString('latin1', 0, 7) === '[0,"k",';

export interface Making {
  readonly zstd: Zstd;
  readonly key: SshPrivateKey;
  readonly certificate: Uint8Array;
  /** Alters the checkpoint before it is signed. */
  readonly change?: (checkpoint: Checkpoint) => Checkpoint;
  readonly signature?: (checkpoint: Checkpoint) => SignedCheckpoint;
}

/** A file of one part, signed with this key; keyframes are among the lines but in no block. */
export function made(
  lines: readonly Buffer[],
  identity: { readonly session: string; readonly gateway: string; readonly counter: number },
  { zstd, key, certificate, change, signature }: Making,
): Piece[] {
  const cutter = new BlockCutter();
  let head = chainStart(sha256, identity.session);
  const tags: number[] = [];
  let [block, at, bytes] = [Buffer.alloc(0), 0, 0];
  const cut = (): void => {
    if (block.length === 0) return;
    head = chainNext(sha256, head, block);
    tags.push(head[0]!);
    bytes += block.length;
    block = Buffer.alloc(0);
  };
  for (const line of lines) {
    if (isKeyframe(line)) continue;
    if (line[0] === 0x5b) at += peekLine(line.toString('latin1', 0, 64)).interval;
    if (cutter.startsBlock(line.length, at)) cut();
    block = Buffer.concat([block, line]);
  }
  cut();
  const plain: Checkpoint = { ...identity, block: tags.length, bytes, at, time: Date.UTC(2026, 1, 1), head: toHex(head), end: 'complete' };
  const checkpoint = change?.(plain) ?? plain;
  const signed = signature?.(checkpoint) ?? signCheckpoint(checkpoint, key);
  const { session: _s, gateway: _g, counter: _c, ...stored } = signed;
  return [
    certificatePiece(certificate),
    data(zstd, Buffer.concat(lines)),
    proofPiece({
      kind: 'part',
      part: 1,
      first_block: 1,
      tags: Uint8Array.from(tags),
      checkpoint: stored,
      certificate: certificateId(fingerprint(certificate)),
    }),
  ];
}
