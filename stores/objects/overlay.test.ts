import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { expectCode, objectStoreConformance } from './conformance.js';
import type { ObjectStore } from './contract.js';
import { openDirectoryStore } from './directory.js';
import { overlay } from './overlay.js';

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const open = async (): Promise<{
  readonly upper: ObjectStore;
  readonly lower: ObjectStore;
  readonly store: ObjectStore;
  readonly dispose: () => Promise<void>;
}> => {
  const folder = await mkdtemp(join(tmpdir(), 'steno-overlay-'));
  const [upper, lower] = [await openDirectoryStore(join(folder, 'upper')), await openDirectoryStore(join(folder, 'lower'))];
  return { upper, lower, store: overlay(upper, lower), dispose: () => rm(folder, { recursive: true, force: true }) };
};

objectStoreConformance('overlay', open);

describe('an overlay', () => {
  let it: Awaited<ReturnType<typeof open>>;
  beforeEach(async () => {
    it = await open();
  });
  afterEach(async () => {
    await it.store.close();
    await it.dispose();
  });
  const listed = async (prefix = ''): Promise<readonly string[]> => {
    const found: string[] = [];
    for await (const { key, size } of it.store.list(prefix)) found.push(`${key} ${size}`);
    return found;
  };

  test('lists both in the order of their keys, and for a key in both the last version written', async () => {
    for (const key of ['a/1', 'a/3', 'b']) await it.lower.put(key, text('old'));
    for (const key of ['a/2', 'a/3', 'c']) await it.store.put(key, text('newer'));
    expect(await listed()).toEqual(['a/1 3', 'a/2 5', 'a/3 5', 'b 3', 'c 5']);
    expect(await listed('a/')).toEqual(['a/1 3', 'a/2 5', 'a/3 5']);
    expect(Buffer.from(await it.store.get('a/3')).toString()).toBe('newer');
    expect(Buffer.from(await it.store.get('b', { offset: 1, length: 9 })).toString()).toBe('ld');
    expect(await it.store.size('b')).toBe(3);
  });

  test('writes to the first only, and deletes from both', async () => {
    await it.lower.put('k', text('old'));
    await it.store.put('k', text('new'));
    expect(Buffer.from(await it.lower.get('k')).toString()).toBe('old');
    await it.store.delete('k');
    await expectCode(it.store.get('k'), 'STORE_NOT_FOUND');
    await expectCode(it.lower.get('k'), 'STORE_NOT_FOUND');
  });

  test('an exclusive put considers the objects of the second store', async () => {
    await it.lower.put('k', text('old'));
    await it.store.put('k', text('old'), { ifAbsent: true });
    await expectCode(it.store.put('k', text('new'), { ifAbsent: true }), 'STORE_CONFLICT');
    await expectCode(it.upper.get('k'), 'STORE_NOT_FOUND');
  });
});
