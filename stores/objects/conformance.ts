/** The conformance suite of object stores, as claims in plain words. Called by the tests of each adapter. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ErrorCode } from '#schemas/base/errors.js';
import type { ObjectEntry, ObjectStore } from './contract.js';

export interface ObjectFixture {
  readonly store: ObjectStore;
  readonly dispose: () => Promise<void>;
}

/** Guarantees of S3 that the server behind the adapter breaks; claims about them are skipped. */
export interface ServerLimits {
  readonly replacesInPlace?: boolean;
  readonly failsOnRangesOfEmptyObjects?: boolean;
  readonly listsOutOfOrder?: boolean;
}

export function objectStoreConformance(name: string, open: () => Promise<ObjectFixture>, limits: ServerLimits = {}): void {
  describe(`object store: ${name}`, () => {
    let fixture: ObjectFixture;
    let store: ObjectStore;
    beforeAll(async () => {
      fixture = await open();
      store = fixture.store;
    });
    afterAll(async () => {
      await fixture.store.close();
      await fixture.dispose();
    });

    test('get returns the bytes that were put', async () => {
      for (const size of [0, 1, 1000, 300_000]) {
        const bytes = randomBytes(size);
        await store.put(`got/${size}`, bytes);
        expect(Buffer.from(await store.get(`got/${size}`)).equals(bytes)).toBe(true);
        expect(await store.size(`got/${size}`)).toBe(size);
      }
    });

    test('a view into a larger buffer is put without the surrounding bytes', async () => {
      const large = Uint8Array.from([1, 2, 3, 4, 5, 6]);
      await store.put('view', large.subarray(2, 4));
      expect([...(await store.get('view'))]).toEqual([3, 4]);
    });

    test('a put replaces', async () => {
      await store.put('replaced', text('one'));
      await store.put('replaced', text('second'));
      expect(string(await store.get('replaced'))).toBe('second');
    });

    test('repeating a put is harmless', async () => {
      await store.put('again/a', text('same'), { ifAbsent: true });
      await store.put('again/a', text('same'), { ifAbsent: true });
      await store.put('again/a', text('same'));
      expect(string(await store.get('again/a'))).toBe('same');
      expect(await keys(store, 'again/')).toEqual(['again/a']);
    });

    test('ifAbsent refuses other bytes, of the same or another length, and keeps the first', async () => {
      await store.put('kept', text('first'), { ifAbsent: true });
      await expectCode(store.put('kept', text('FIRST'), { ifAbsent: true }), 'STORE_CONFLICT');
      await expectCode(store.put('kept', text('longer than it'), { ifAbsent: true }), 'STORE_CONFLICT');
      expect(string(await store.get('kept'))).toBe('first');
    });

    test('two writers of the same bytes at once both succeed', async () => {
      await Promise.all(Array.from({ length: 8 }, () => store.put('raced', text('race'), { ifAbsent: true })));
      expect(string(await store.get('raced'))).toBe('race');
    });

    test('a range is clipped to the object', async () => {
      await store.put('range', text('0123456789'));
      const cases: readonly (readonly [number, number, string])[] = [
        [0, 10, '0123456789'],
        [0, 3, '012'],
        [4, 3, '456'],
        [8, 10, '89'],
        [10, 1, ''],
        [99, 5, ''],
        [3, 0, ''],
      ];
      for (const [offset, length, expected] of cases) {
        expect(string(await store.get('range', { offset, length })), `${offset}+${length}`).toBe(expected);
      }
    });

    test.skipIf(limits.failsOnRangesOfEmptyObjects === true)('a range of an empty object is empty', async () => {
      await store.put('range-empty', new Uint8Array());
      expect((await store.get('range-empty', { offset: 0, length: 5 })).length).toBe(0);
    });

    test('a missing object is reported as missing', async () => {
      await expectCode(store.get('nothing'), 'STORE_NOT_FOUND');
      await expectCode(store.get('nothing', { offset: 0, length: 1 }), 'STORE_NOT_FOUND');
      await expectCode(store.get('nothing/below'), 'STORE_NOT_FOUND');
      await expectCode(store.size('nothing'), 'STORE_NOT_FOUND');
      expect(await keys(store, 'nothing')).toEqual([]);
      expect(await keys(store, 'nothing/')).toEqual([]);
    });

    test('a deleted object is gone, and deleting it again succeeds', async () => {
      await store.put('deleted/x', text('x'));
      await store.put('deleted/y', text('y'));
      await store.delete('deleted/x');
      await store.delete('deleted/x');
      await store.delete('never/was');
      await expectCode(store.get('deleted/x'), 'STORE_NOT_FOUND');
      expect(await keys(store, 'deleted/')).toEqual(['deleted/y']);
    });

    test.skipIf(limits.listsOutOfOrder === true)(
      'a listing is sorted by the bytes of the whole key, across folders, with sizes',
      async () => {
        const names = ['list/a', 'list/a-b', 'list/a.b', 'list/b/a', 'list/b/c/d', 'list/b-', 'list/b0', 'list/_', 'list/9'];
        for (const [i, name_] of names.entries()) await store.put(name_, new Uint8Array(i));
        const entries = await collect(store, 'list/');
        expect(entries.map((entry) => entry.key)).toEqual([...names].sort());
        for (const entry of entries) expect(entry.size).toBe(names.indexOf(entry.key));
      },
    );

    test('a prefix is any beginning of a key, not only a folder', async () => {
      for (const key of ['pre/alpha/1', 'pre/alps', 'pre/beta']) await store.put(key, text(key));
      expect(await keys(store, 'pre/alp')).toEqual(['pre/alpha/1', 'pre/alps']);
      expect(await keys(store, 'pre/alpha/1')).toEqual(['pre/alpha/1']);
      expect(await keys(store, 'pre/alpha/')).toEqual(['pre/alpha/1']);
      expect(await keys(store, 'pre/c')).toEqual([]);
      expect((await keys(store, '')).filter((key) => key.startsWith('pre/'))).toEqual(['pre/alpha/1', 'pre/alps', 'pre/beta']);
    });

    test('more objects than one page of a listing all appear, once', async () => {
      const names = Array.from({ length: 1030 }, (_, i) => `many/${String(i).padStart(5, '0')}`);
      for (let i = 0; i < names.length; i += 50) {
        await Promise.all(names.slice(i, i + 50).map((key) => store.put(key, new Uint8Array(1))));
      }
      expect(await keys(store, 'many/')).toEqual(names);
    });

    test('invalid keys are refused by every operation', async () => {
      const bad = [
        '',
        '/a',
        'a/',
        'a//b',
        '..',
        'a/../b',
        './a',
        '.hidden',
        'a/.tmp',
        'A',
        'a b',
        'a\\b',
        'a\0',
        'é',
        'a\n',
        'k'.repeat(513),
      ];
      for (const key of bad) {
        await expectCode(store.put(key, text('x')), 'BAD_REQUEST');
        await expectCode(store.get(key), 'BAD_REQUEST');
        await expectCode(store.size(key), 'BAD_REQUEST');
        await expectCode(store.delete(key), 'BAD_REQUEST');
      }
      for (const prefix of ['/', '..', 'a//', '.', 'A', '*']) await expectCode(collect(store, prefix), 'BAD_REQUEST');
      await store.put('k'.repeat(200) + '/' + 'k'.repeat(200), text('long'));
    });

    test('invalid ranges are refused', async () => {
      await store.put('ranges', text('x'));
      for (const [offset, length] of [
        [-1, 1],
        [0, -1],
        [0.5, 1],
        [Number.NaN, 1],
        [Number.MAX_SAFE_INTEGER, 2],
      ] as const) {
        await expectCode(store.get('ranges', { offset, length }), 'BAD_REQUEST');
      }
    });

    test.skipIf(limits.replacesInPlace === true)('a reader beside a writer sees one complete version', async () => {
      const versions = ['a', 'b'].map((letter) => text(letter.repeat(200_000)));
      await store.put('atomic', versions[0]!);
      const writing = (async () => {
        for (let i = 0; i < 10; i += 1) await store.put('atomic', versions[i % 2]!);
      })();
      for (let i = 0; i < 20; i += 1) {
        const seen = string(await store.get('atomic'));
        expect(seen.length).toBe(200_000);
        expect(seen === 'a'.repeat(200_000) || seen === 'b'.repeat(200_000)).toBe(true);
      }
      await writing;
    });
  });
}

export async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await expect(promise).rejects.toMatchObject({ name: 'StenoError', code });
}

async function collect(store: ObjectStore, prefix: string): Promise<ObjectEntry[]> {
  const entries: ObjectEntry[] = [];
  for await (const entry of store.list(prefix)) entries.push(entry);
  return entries;
}

async function keys(store: ObjectStore, prefix: string): Promise<string[]> {
  return (await collect(store, prefix)).map((entry) => entry.key);
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const string = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
