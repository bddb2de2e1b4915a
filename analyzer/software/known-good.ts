/**
 * Executables on the authority's known-good lists, by SHA-256: sorted bytes with binary search. An import never changes, so it is read
 * once; 500,000 hashes take 16 MB. Tested in test/survival/known-hashes.test.ts.
 */
import { HASH_BYTES, readHashLists, readHashPiece } from '#schemas/api/detection/hashes.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Send } from '#schemas/endpoint/endpoint.js';

export interface GoodList {
  readonly name: string;
  /** Identifies the content. */
  readonly import: string;
  /** SHA-256 values, ascending. */
  readonly hashes: Uint8Array;
}

export class KnownGood {
  readonly lists: readonly GoodList[];

  constructor(lists: readonly GoodList[] = []) {
    this.lists = lists;
  }

  /** `sha256`: lower-case hex. */
  has(sha256: string): boolean {
    if (this.lists.length === 0) return false;
    const wanted = Buffer.from(sha256, 'hex');
    return wanted.length === HASH_BYTES && this.lists.some(({ hashes }) => isIn(hashes, wanted));
  }
}

function isIn(hashes: Uint8Array, wanted: Buffer): boolean {
  let low = 0;
  let high = hashes.length / HASH_BYTES;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const order = wanted.compare(hashes, middle * HASH_BYTES, (middle + 1) * HASH_BYTES);
    if (order === 0) return true;
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return false;
}

/** `before`: imports that still exist are not read again. Null: this authority keeps no lists. */
export async function readKnownGood(send: Send, before: KnownGood): Promise<{ readonly version: number; readonly good: KnownGood } | null> {
  const set = await call(send, readHashLists, {}).catch((error: unknown) => {
    // An older authority keeps no lists.
    if (error instanceof StenoError && error.code === 'NOT_FOUND') return null;
    throw error;
  });
  if (set === null) return null;
  const lists: GoodList[] = [];
  for (const { name, import: id, pieces } of set.lists) {
    const known = before.lists.find((list) => list.name === name && list.import === id);
    if (known !== undefined) {
      lists.push(known);
      continue;
    }
    const read: Buffer[] = [];
    for (let piece = 1; piece <= pieces; piece += 1) {
      const answer = await call(send, readHashPiece, { body: { name, import: id, piece } }).catch((error: unknown) => {
        if (error instanceof StenoError && error.code === 'NOT_FOUND') return null;
        throw error;
      });
      // The import was replaced while it was read: the version has changed.
      if (answer === null) return { version: -1, good: before };
      read.push(Buffer.from(answer.hashes, 'base64'));
    }
    lists.push({ name, import: id, hashes: Buffer.concat(read) });
  }
  return { version: set.version, good: new KnownGood(lists) };
}
