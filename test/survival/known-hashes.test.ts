/** Lists of known-good executables: from an import at a real authority to what an analyzer reads. */
import { createHash } from 'node:crypto';
import { Agent } from 'node:https';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { HASH_BYTES, PIECE_HASHES } from '#schemas/api/detection/hashes.js';
import type { HashList } from '#schemas/api/detection/hashes.js';
import { callAuthority } from '#runtime/service/authority-http.js';
import { openState } from '#stores/state/open.js';
import { KnownGood, readKnownGood } from '../../analyzer/software/known-good.js';
import { Cleanup, administrator, authorityIn, clientOf, person, temporaryFolder } from '../../authority/testing/authority.js';
import type { Administrator, Signer } from '../../authority/testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let admin: Administrator;
let maker: Signer;
let analyzer: Awaited<ReturnType<typeof clientOf>>;
let asAnalyzer: (target: string) => Promise<unknown>;
let folder: string;

const hex = (text: string): string => createHash('sha256').update(text).digest('hex');
const bytesOf = (hashes: readonly string[]): Buffer => Buffer.from([...new Set(hashes)].sort().join(''), 'hex');
const idOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

async function put(name: string, hashes: readonly string[], who: Signer = admin): Promise<HashList> {
  const bytes = bytesOf(hashes);
  const id = idOf(bytes);
  const size = PIECE_HASHES * HASH_BYTES;
  const pieces = Math.ceil(bytes.length / size);
  for (let i = 0; i < pieces; i += 1) await piece(name, id, i + 1, bytes.subarray(i * size, (i + 1) * size), who);
  return (await finish(name, id, pieces, who)) as HashList;
}
const piece = (name: string, id: string, number: number, bytes: Buffer, who: Signer = admin): Promise<unknown> =>
  who.call('PUT', `/v1/hash-lists/${name}/pieces`, { import: id, piece: number, hashes: bytes.toString('base64') });
const finish = (name: string, id: string, pieces: number, who: Signer = admin): Promise<unknown> =>
  who.call('POST', `/v1/hash-lists/${name}`, { import: id, pieces, file: 'f.txt' });
const listed = async (): Promise<readonly HashList[]> => (await admin.call('GET', '/v1/hash-lists')) as HashList[];
const good = async (before = new KnownGood()): Promise<KnownGood> => (await readKnownGood(analyzer.detection, before))!.good;

beforeAll(async () => {
  folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup);
  admin = await administrator(authority, cleanup);
  await admin.call('PUT', '/v1/roles/maker', {
    kind: 'role',
    name: 'maker',
    allow: { rules: [{ resources: ['rule'], verbs: ['create'] }] },
  });
  await admin.call('POST', '/v1/users', { name: 'maker', roles: ['maker'] });
  maker = await person(authority, folder, admin, 'maker', ['maker'], cleanup);
  analyzer = await clientOf(authority, { kind: 'analyzer', name: 'a1' }, cleanup);
  const agent = new Agent(analyzer.identity.tlsClientOptions(['authority']));
  cleanup.add(() => agent.destroy());
  asAnalyzer = (target) => callAuthority({ kind: 'tls', url: authority.addresses.tls, agent }, { method: 'POST', target });
});
beforeEach(async () => {
  for (const { name } of await listed()) await admin.call('DELETE', `/v1/hash-lists/${name}`);
});

test('a list is in force once its import is finished, and analyzers see it by the version of the rules', async () => {
  const bytes = bytesOf([hex('a'), hex('b')]);
  await piece('base', idOf(bytes), 1, bytes);
  expect([await listed(), (await good()).lists]).toEqual([[], []]);
  const { version } = (await asAnalyzer('/v1/hash-set')) as { version: number };
  const made = await finish('base', idOf(bytes), 1);
  const digest = createHash('sha256').update(bytes).digest('hex');
  expect(made).toMatchObject({ name: 'base', count: 2, digest, file: 'f.txt' });
  expect(await listed()).toEqual([made]);
  expect(((await asAnalyzer('/v1/hash-set')) as { version: number }).version).toBeGreaterThan(version);
  const known = await good();
  expect([known.has(hex('a')), known.has(hex('b')), known.has(hex('c'))]).toEqual([true, true, false]);
  // Finished a second time, as after a lost answer.
  expect(await finish('base', idOf(bytes), 1)).toEqual(made);
});

test('an import replaces the whole list of its name, and an analyzer reads a list only once', async () => {
  await put('a', [hex('1'), hex('2')]);
  await put('b', [hex('3')]);
  const before = await good();
  await put('b', [hex('4')]);
  const after = await good(before);
  expect(after.lists.find(({ name }) => name === 'a')).toBe(before.lists.find(({ name }) => name === 'a'));
  expect(['1', '3', '4'].map((one) => after.has(hex(one)))).toEqual([true, false, true]);
  await admin.call('DELETE', '/v1/hash-lists/a');
  expect((await good(after)).has(hex('1'))).toBe(false);
  await expect(admin.call('DELETE', '/v1/hash-lists/a')).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

test('several pieces form one list; a missing, unordered or incomplete piece is refused', async () => {
  const many = Array.from({ length: PIECE_HASHES + 5 }, (_, i) => hex(`many ${i}`));
  expect(await put('many', many)).toMatchObject({ count: PIECE_HASHES + 5 });
  const known = await good();
  expect(many.every((one) => known.has(one))).toBe(true);
  const bytes = bytesOf([hex('x'), hex('y')]);
  const [one, two] = [bytes.subarray(0, HASH_BYTES), bytes.subarray(HASH_BYTES)];
  const id = 'cd'.repeat(8);
  await piece('bad', id, 1, Buffer.concat([two, one]));
  await expect(finish('bad', id, 1)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await piece('bad', id, 1, Buffer.concat([one, one]));
  await expect(finish('bad', id, 1)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(finish('bad', 'ef'.repeat(8), 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await piece('bad', id, 1, one);
  await piece('bad', id, 2, two);
  await expect(finish('bad', id, 2)).rejects.toMatchObject({ code: 'BAD_REQUEST', detail: expect.stringContaining('not full') });
  await expect(piece('bad', id, 1, Buffer.alloc(33))).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(piece('bad', id, 126, one)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  expect((await listed()).map(({ name }) => name)).toEqual(['many']);
});

test('an import is dropped unless it is finished within a day; a finished import accepts no further piece', async () => {
  const bytes = bytesOf([hex('slow')]);
  await piece('slow', idOf(bytes), 1, bytes);
  const state = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
  await state
    .updateTable('rule_versions')
    .set({ at: Date.now() - 86_400_001 })
    .where('rule', 'like', '#slow/%')
    .execute();
  await state.destroy();
  await put('other', [hex('other')]);
  await expect(finish('slow', idOf(bytes), 1)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await piece('other', idOf(bytesOf([hex('other')])), 1, bytes);
  expect([(await good()).has(hex('other')), (await good()).has(hex('slow'))]).toEqual([true, false]);
});

test('a user who may only create can add lists but not replace them', async () => {
  await put('theirs', [hex('1')], maker);
  await expect(put('theirs', [hex('2')], maker)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(maker.call('DELETE', '/v1/hash-lists/theirs')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(maker.call('POST', '/v1/hash-set')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});

test('for any hashes: exactly the imported ones are known', async () => {
  const some = fc.uniqueArray(
    fc.nat(60).map((n) => hex(String(n))),
    { minLength: 1, maxLength: 40 },
  );
  await fc.assert(
    fc.asyncProperty(some, some, async (one, two) => {
      await put('one', one);
      await put('two', two);
      const known = await good();
      for (let n = 0; n <= 60; n += 1) {
        const hash = hex(String(n));
        expect(known.has(hash)).toBe(one.includes(hash) || two.includes(hash));
      }
      expect(known.has('')).toBe(false);
    }),
    { numRuns: 15 },
  );
});
