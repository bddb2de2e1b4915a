/**
 * An object store that fails on demand, and otherwise behaves like the store it wraps.
 *
 * Passes `conformance.ts` while no fault is planned.
 */
import { FaultPlan } from '../faults.js';
import type { ByteRange, ObjectEntry, ObjectStore, PutOptions } from './contract.js';

export type ObjectOperation = 'put' | 'get' | 'size' | 'list' | 'delete';

export class FaultyObjectStore implements ObjectStore {
  readonly faults = new FaultPlan<ObjectOperation>();
  readonly #inner: ObjectStore;

  constructor(inner: ObjectStore) {
    this.#inner = inner;
  }

  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void> {
    return this.faults.run('put', () => this.#inner.put(key, bytes, options));
  }

  get(key: string, range?: ByteRange): Promise<Uint8Array> {
    return this.faults.run('get', () => this.#inner.get(key, range));
  }

  size(key: string): Promise<number> {
    return this.faults.run('size', () => this.#inner.size(key));
  }

  async *list(prefix: string): AsyncIterable<ObjectEntry> {
    yield* await this.faults.run('list', async () => this.#inner.list(prefix));
  }

  delete(key: string): Promise<void> {
    return this.faults.run('delete', () => this.#inner.delete(key));
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
