import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectCode, objectStoreConformance } from './conformance.js';
import { openDirectoryStore } from './directory.js';
import { FaultyObjectStore } from './faulty.js';

async function temporary(): Promise<{ folder: string; dispose: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'steno-objects-'));
  return { folder, dispose: () => rm(folder, { recursive: true, force: true }) };
}

objectStoreConformance('directory', async () => {
  const { folder, dispose } = await temporary();
  return { store: await openDirectoryStore(join(folder, 'objects')), dispose };
});

objectStoreConformance('faulty, without faults', async () => {
  const { folder, dispose } = await temporary();
  return { store: new FaultyObjectStore(await openDirectoryStore(folder)), dispose };
});

describe('a directory of objects', () => {
  let folder: string;
  let dispose: () => Promise<void>;
  const bytes = new TextEncoder().encode('x');
  beforeAll(async () => {
    ({ folder, dispose } = await temporary());
  });
  afterAll(() => dispose());

  test('has the same objects after it is opened again', async () => {
    const first = await openDirectoryStore(join(folder, 'twice'));
    await first.put('a/b', bytes);
    await first.close();
    await expectCode(first.get('a/b'), 'STORE_UNAVAILABLE');
    const second = await openDirectoryStore(join(folder, 'twice'));
    expect([...(await second.get('a/b'))]).toEqual([...bytes]);
    await second.close();
  });

  test('leaves no temporary file behind, and sweeps only old ones of dead writers', async () => {
    const root = join(folder, 'swept');
    await mkdir(join(root, '.tmp'), { recursive: true });
    await writeFile(join(root, '.tmp', 'old'), 'x');
    await writeFile(join(root, '.tmp', 'young'), 'x');
    await utimes(join(root, '.tmp', 'old'), 1, 1);
    const store = await openDirectoryStore(root);
    await store.put('k', bytes);
    await store.put('k', bytes, { ifAbsent: true });
    await expectCode(store.put('k', new Uint8Array(9), { ifAbsent: true }), 'STORE_CONFLICT');
    expect(await readdir(join(root, '.tmp'))).toEqual(['young']);
    const listed: string[] = [];
    for await (const entry of store.list('')) listed.push(entry.key);
    expect(listed).toEqual(['k']);
    await store.close();
  });

  test('does not follow a link out of the root, whether to a folder or a file', async () => {
    const root = join(folder, 'linked');
    const outside = join(folder, 'outside');
    await mkdir(outside);
    await writeFile(join(outside, 'secret'), 'secret');
    const store = await openDirectoryStore(root);
    await symlink(outside, join(root, 'out'));
    await symlink(join(outside, 'secret'), join(root, 'file'));
    await expectCode(store.put('out/new', bytes), 'STORE_UNAVAILABLE');
    await expectCode(store.get('out/secret'), 'STORE_UNAVAILABLE');
    await expectCode(store.delete('out/secret'), 'STORE_UNAVAILABLE');
    await expectCode(store.get('file'), 'STORE_UNAVAILABLE');
    await expectCode(store.size('file'), 'STORE_NOT_FOUND');
    const listed: string[] = [];
    for await (const entry of store.list('')) listed.push(entry.key);
    expect(listed).toEqual([]);
    expect(await readdir(outside)).toEqual(['secret']);
    await store.close();
  });

  test('refuses a key that is the folder of another, in either order', async () => {
    const store = await openDirectoryStore(join(folder, 'nested'));
    await store.put('a', bytes);
    await expectCode(store.put('a/b', bytes), 'BAD_REQUEST');
    await store.put('c/d', bytes);
    await expectCode(store.put('c', bytes), 'BAD_REQUEST');
    await expectCode(store.put('c', bytes, { ifAbsent: true }), 'BAD_REQUEST');
    await store.delete('c');
    expect([...(await store.get('c/d'))]).toEqual([...bytes]);
    await store.close();
  });

  test('reports unavailable, not missing objects, when its root is gone', async () => {
    const root = join(folder, 'vanished');
    const store = await openDirectoryStore(root);
    await rm(root, { recursive: true });
    await expectCode(store.put('a', bytes), 'STORE_UNAVAILABLE');
    await store.close();
  });
});

describe('a faulty object store', () => {
  test('fails before, fails after, holds and refuses, then works again', async () => {
    const { folder, dispose } = await temporary();
    const store = new FaultyObjectStore(await openDirectoryStore(folder));
    const bytes = new TextEncoder().encode('x');
    store.faults.failBefore('put');
    store.faults.failAfter('put');
    await expectCode(store.put('a', bytes), 'STORE_UNAVAILABLE');
    await expectCode(store.get('a'), 'STORE_NOT_FOUND');
    await expectCode(store.put('a', bytes), 'STORE_UNAVAILABLE');
    expect((await store.get('a')).length).toBe(1);
    const held = store.faults.hold('put');
    const put = store.put('b', bytes);
    await held.reached;
    await expectCode(store.get('b'), 'STORE_NOT_FOUND');
    held.release();
    await put;
    expect((await store.get('b')).length).toBe(1);
    store.faults.refuseAll();
    await expectCode(store.put('c', bytes), 'STORE_UNAVAILABLE');
    await expectCode(store.get('a'), 'STORE_UNAVAILABLE');
    store.faults.accept();
    await store.put('c', bytes);
    expect(store.faults.calls('put')).toBe(5);
    await store.close();
    await dispose();
  });
});
