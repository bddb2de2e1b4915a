/**
 * Remembers the sizes of files by path, from the server's answers to STAT and LSTAT and from listings. A client that knows a
 * file's size reads exactly that much and never reaches end-of-file, so only the size tells whether it read the whole file.
 *
 * Limits: the latest sizes, within `SIZES_BYTES` of memory. A path that is written, changed or renamed is forgotten; changes
 * that others make to the file meanwhile are not seen. Tested in sftp.test.ts and sftp-parallel.test.ts.
 */
import { posix } from 'node:path';
import { LRUCache } from 'lru-cache';
import { MAX_PATH_BYTES, textCost } from '../observing/budget.js';
import { Lost, skip } from '../observing/feed.js';
import type { Reading } from '../observing/feed.js';

const SIZES_BYTES = 48 * 1024;
const ENTRY_COST = 64;
const costOf = (path: string): number => ENTRY_COST + textCost(path);

export class KnownSizes {
  private readonly sizes = new LRUCache<string, number>({ maxSize: SIZES_BYTES, sizeCalculation: (_, path) => costOf(path) });

  set(path: string, size: number): void {
    this.sizes.set(posix.normalize(path), size);
  }

  get(path: string): number | undefined {
    return this.sizes.get(posix.normalize(path));
  }

  forget(path: string): void {
    this.sizes.delete(posix.normalize(path));
  }
}

/** Fields of ATTRS (section 5 of the draft) by flag: size, owner, permissions, times. */
const SIZE = 1;
const fixed: readonly (readonly [flag: number, bytes: number])[] = [
  [2, 8],
  [4, 4],
  [8, 8],
];
const EXTENDED = 0x80000000;

/** Reads `count` names of a listing within `length` bytes and calls `entry` for each that has a size. Returns the number of unread bytes. */
export function* readNames(count: number, length: number, entry: (name: string, size: number) => void): Reading<number> {
  let left = length;
  const take = (bytes: number): number => {
    left -= bytes;
    if (left < 0) throw new Lost('a NAME is longer than its packet');
    return bytes;
  };
  for (let i = 0; i < count; i++) {
    const nameLength = (yield take(4)).readUInt32BE(0);
    let name = '';
    take(nameLength);
    if (nameLength <= MAX_PATH_BYTES) name = (yield nameLength).toString('utf8');
    else yield skip(nameLength);
    yield skip(take((yield take(4)).readUInt32BE(0)));
    const flags = (yield take(4)).readUInt32BE(0);
    if ((flags & SIZE) !== 0) {
      const bytes = yield take(8);
      const size = bytes.readUInt32BE(0) * 2 ** 32 + bytes.readUInt32BE(4);
      if (name !== '') entry(name, size);
    }
    yield skip(take(fixed.reduce((sum, [flag, bytes]) => sum + ((flags & flag) === 0 ? 0 : bytes), 0)));
    if ((flags & EXTENDED) === 0) continue;
    for (let pairs = 2 * (yield take(4)).readUInt32BE(0); pairs > 0; pairs--) yield skip(take((yield take(4)).readUInt32BE(0)));
  }
  return left;
}
