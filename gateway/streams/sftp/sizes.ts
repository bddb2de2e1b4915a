/**
 * What the server said of the sizes of files by their paths, in answers to STAT and LSTAT and in listings. Clients that know a
 * size read exactly so much and never ask for the end of the file, so that nothing else tells whether they read all of it.
 *
 * Limits: the latest `SIZES_BYTES` of memory worth of them. A path that is written, changed or renamed is forgotten; what
 * others do to the file meanwhile is not seen. Tested in sftp.test.ts and sftp-parallel.test.ts.
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

/** Reads `count` names of a listing that lie in `length` bytes, and tells of each its size where it has one. Reads no further, and answers what is left. */
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
