/**
 * The hash chain over blocks: `h[0] = SHA-256("steno-recording/1
 * " ‖ session)`, `h[n] = SHA-256(h[n-1] ‖ u64 big-endian length of the content ‖ content)`; an event log's chain begins with
 * `steno-events/1`, so that a part of a recording cannot pass for a part of its log.
 *
 * It covers uncompressed lines, so that storage may repack frames without invalidating the proof. SHA-256 is passed in: this
 * folder runs in Node and in browsers. Tested in verify.test.ts.
 */
import type { Stream } from './line.js';

export type Sha256 = (...parts: readonly Uint8Array[]) => Uint8Array;

const encoder = new TextEncoder();

/**
 * Bytes of each block's chain value kept in the proof, to locate the first bad block between two checkpoints. With one byte,
 * the located block is later than the first bad one in 1 of 256 cases, but a bad recording is never called good.
 */
export const TAG_BYTES = 1;

export function chainStart(sha256: Sha256, session: string, stream: Stream = 'recording'): Uint8Array {
  return sha256(encoder.encode(`steno-${stream}/1\n${session}`));
}

export function chainNext(sha256: Sha256, head: Uint8Array, content: Uint8Array): Uint8Array {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(content.length));
  return sha256(head, length, content);
}

export function toHex(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

/** The bytes of a hexadecimal string, or null unless it encodes `length` bytes. */
export function fromHex(hex: string, length: number): Uint8Array | null {
  if (hex.length !== length * 2 || !/^[0-9a-f]*$/.test(hex)) return null;
  return Uint8Array.from({ length }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}
