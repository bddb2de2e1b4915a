/**
 * Combines two object stores: everything is written to the first, and objects missing there are read from the second. For
 * objects written under another spelling of a prefix. Passes `conformance.ts` in overlay.test.ts.
 *
 * The first hides the second: an object replaced is replaced in the first, and one deleted is deleted in both, the second
 * first, so that a crash between never shows the older again.
 */
import { unlessMissing } from './contract.js';
import { StenoError } from '#schemas/base/errors.js';
import type { ObjectEntry, ObjectStore } from './contract.js';

export function overlay(upper: ObjectStore, lower: ObjectStore): ObjectStore {
  const either = async <T>(read: (store: ObjectStore) => Promise<T>): Promise<T> => {
    try {
      return await read(upper);
    } catch (error) {
      if (error instanceof StenoError && error.code === 'STORE_NOT_FOUND') return read(lower);
      throw error;
    }
  };
  return {
    async put(key, bytes, options = {}) {
      if (options.ifAbsent === true) {
        const there = await unlessMissing(() => lower.get(key));
        // The second store already has the same bytes, or a conflict, unless the first store has the key: then the first decides.
        if (there !== null && (await unlessMissing(() => upper.size(key))) === null) {
          if (!Buffer.from(there.buffer, there.byteOffset, there.byteLength).equals(bytes)) throw new StenoError('STORE_CONFLICT', key);
          return;
        }
      }
      await upper.put(key, bytes, options);
    },
    get: (key, range) => either((store) => store.get(key, range)),
    size: (key) => either((store) => store.size(key)),
    list: (prefix) => merged(upper.list(prefix), lower.list(prefix)),
    async delete(key) {
      await lower.delete(key);
      await upper.delete(key);
    },
    async close() {
      await upper.close();
      await lower.close();
    },
  };
}

/** Merges both listings in key order; for a key in both, the first's entry counts. */
async function* merged(upper: AsyncIterable<ObjectEntry>, lower: AsyncIterable<ObjectEntry>): AsyncIterable<ObjectEntry> {
  const [a, b] = [upper[Symbol.asyncIterator](), lower[Symbol.asyncIterator]()];
  try {
    let [x, y] = [await a.next(), await b.next()];
    while (x.done !== true || y.done !== true) {
      // Keys are ASCII, so string order is byte order.
      if (y.done === true || (x.done !== true && x.value.key <= y.value.key)) {
        const { value } = x as IteratorYieldResult<ObjectEntry>;
        if (y.done !== true && y.value.key === value.key) y = await b.next();
        yield value;
        x = await a.next();
      } else {
        yield y.value;
        y = await b.next();
      }
    }
  } finally {
    await a.return?.();
    await b.return?.();
  }
}
