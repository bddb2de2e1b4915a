/**
 * Numbers of rsync's wire protocol 27 to 32, after io.c and rsync.h of rsync 3.5. Integers are little-endian.
 */
import { Lost } from '../observing/feed.js';
import type { Reading } from '../observing/feed.js';

export const MIN_PROTOCOL = 27;
export const MAX_PROTOCOL = 32;
export const MPLEX_BASE = 7;
export const messages = { data: 0, errorTransfer: 1, error: 3, deleted: 101, noSend: 102 } as const;
export const ndx = { done: -1, listEnd: -2, deleteStats: -3, listOffset: -101 } as const;
export const items = { basisFollows: 1 << 11, nameFollows: 1 << 12, isNew: 1 << 13, localChange: 1 << 14, transfer: 1 << 15 } as const;
export const compat = { incRecurse: 1 << 0, safeList: 1 << 3, varintFlags: 1 << 7, id0Names: 1 << 8 } as const;

/** Length of the digest after each file, by name of the checksum; `none` sends one as well. */
export const checksumBytes: Readonly<Record<string, number>> = {
  xxh128: 16,
  xxh3: 8,
  xxh64: 8,
  xxhash: 8,
  md5: 16,
  md4: 16,
  sha1: 20,
  sha256: 32,
  sha512: 64,
  none: 1,
};

export function* int32(): Reading<number> {
  return (yield 4).readInt32LE(0);
}

/** Number of bytes after the first one, given by its leading one bits. */
function extraBytes(first: number): number {
  if (first < 0x80) return 0;
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  if (first < 0xf8) return 4;
  return first < 0xfc ? 5 : 6;
}

export function* varint(): Reading<number> {
  const first = (yield 1)[0]!;
  const extra = extraBytes(first);
  if (extra === 0) return first;
  if (extra > 4) throw new Lost('a number is too long');
  const rest = yield extra;
  let value = 0;
  for (let i = extra - 1; i >= 0; i--) value = value * 256 + rest[i]!;
  return (value + (first & ((1 << (8 - extra)) - 1)) * 256 ** extra) | 0;
}

/** A number of at least `min` bytes; exact below 2^53. */
export function* varlong(min: number): Reading<number> {
  const head = yield min;
  const first = head[0]!;
  let value = 0;
  for (let i = min - 1; i >= 1; i--) value = value * 256 + head[i]!;
  const extra = extraBytes(first);
  if (extra === 0) return value + first * 256 ** (min - 1);
  if (min + extra > 9) throw new Lost('a number is too long');
  const rest = yield extra;
  for (let i = 0; i < extra; i++) value += rest[i]! * 256 ** (min - 1 + i);
  return value + (first & ((1 << (8 - extra)) - 1)) * 256 ** (min - 1 + extra);
}

/** A size before protocol 30: four bytes, or eight more after `ff ff ff ff`. */
export function* longint(): Reading<number> {
  const value = (yield 4).readInt32LE(0);
  if (value < -1) throw new Lost('a size is negative');
  if (value !== -1) return value;
  const rest = yield 8;
  return rest.readUInt32LE(0) + rest.readUInt32LE(4) * 2 ** 32;
}

/** A text of at most `limit` bytes, which must be below 32 KiB. */
export function* vstring(limit: number): Reading<string> {
  let length = (yield 1)[0]!;
  if (length >= 0x80) length = (length & 0x7f) * 256 + (yield 1)[0]!;
  if (length > limit) throw new Lost('a text is too long');
  return (yield length).toString('utf8');
}

/** Reads file indexes, each relative to the previous one. */
export class IndexReader {
  private readonly protocol: number;
  private positive = -1;
  private negative = 1;

  constructor(protocol: number) {
    this.protocol = protocol;
  }

  *read(): Reading<number> {
    if (this.protocol < 30) return yield* int32();
    let first = (yield 1)[0]!;
    if (first === 0) return ndx.done;
    const negative = first === 0xff;
    if (negative) first = (yield 1)[0]!;
    const previous = negative ? this.negative : this.positive;
    let value: number;
    if (first === 0xfe) {
      const pair = yield 2;
      const [high, low] = [pair[0]!, pair[1]!];
      if (high >= 0x80) {
        const rest = yield 2;
        value = (high & 0x7f) * 2 ** 24 + low + rest[0]! * 2 ** 8 + rest[1]! * 2 ** 16;
      } else {
        value = high * 256 + low + previous;
      }
    } else {
      value = first + previous;
    }
    if (value > 0x7fff_ffff) throw new Lost('a file index is too large');
    if (negative) this.negative = value;
    else this.positive = value;
    return negative ? -value : value;
  }
}
