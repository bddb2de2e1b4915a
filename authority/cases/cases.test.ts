import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CaseBook, CaseHead, CaseItem } from '#schemas/api/cases/cases.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, inBrowser, person, temporaryFolder, viewerOf } from '../testing/authority.js';
import type { Signer, ViewerCall } from '../testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const SESSION = '01jdv3k5m8q2w7x9y4z6a0b1c2';
let folder: string;
let ann: Signer;
let ben: Signer;
let pat: Signer;
let asViewer: ViewerCall;

beforeAll(async () => {
  folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup);
  const admin = await administrator(authority, cleanup);
  const role = (name: string, rules: object[]): Promise<unknown> =>
    admin.call('PUT', `/v1/roles/${name}`, { kind: 'role', name, allow: { rules } });
  await role('responder', [{ resources: ['case'], verbs: ['read', 'create', 'update'] }]);
  await role('reader', [{ resources: ['case'], verbs: ['read'] }]);
  for (const [name, of] of [
    ['ann', 'responder'],
    ['ben', 'responder'],
    ['pat', 'reader'],
  ] as const)
    await admin.call('POST', '/v1/users', { name, roles: [of] });
  ann = await person(authority, folder, admin, 'ann', ['responder'], cleanup);
  ben = await person(authority, folder, admin, 'ben', ['responder'], cleanup);
  pat = await person(authority, folder, admin, 'pat', ['reader'], cleanup);
  asViewer = await viewerOf(authority, cleanup);
});

const open = async (title: string): Promise<string> => ((await ann.call('POST', '/v1/cases', { title })) as CaseHead).id;
const book = async (id: string): Promise<CaseBook> => (await asViewer('GET', `/v1/case-books/${id}`)) as CaseBook;
const act = (who: Signer, id: string, what: string, reason = ''): Promise<unknown> =>
  who.call('POST', `/v1/cases/${id}/state`, { act: what, reason });
const add = (id: string, ...items: object[]): Promise<readonly CaseItem[]> =>
  ann.call('POST', `/v1/cases/${id}/items`, { items }) as Promise<readonly CaseItem[]>;

async function rowsOf(target: string): Promise<readonly AuditRow[]> {
  const state = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
  try {
    return (await state.selectFrom('audit_outbox').select('row').execute())
      .map(({ row }) => JSON.parse(row) as AuditRow)
      .filter((row) => row.target.startsWith(target));
  } finally {
    await state.destroy();
  }
}

test('a case holds what it is given, in order and each thing once, and tells its history', async () => {
  const id = await open('  Shadow file read on web-3 ');
  await add(id, { kind: 'session', session: SESSION }, { kind: 'moment', session: SESSION, offset: 62_000, note: 'sudo' });
  const again = await add(
    id,
    { kind: 'moment', session: SESSION, offset: 62_000, note: 'the same' },
    { kind: 'finding', finding: 'f1' },
    { kind: 'search', query: 'path:/etc/shadow' },
    { kind: 'search', query: 'path:/etc/shadow' },
  );
  expect(again.map(({ kind }) => kind)).toEqual(['finding', 'search']);
  const browser = await inBrowser(asViewer, ben);
  await browser(`/v1/cases/${id}`, { assignee: 'ben', summary: 'who read it?' });
  await ann.call('POST', `/v1/cases/${id}/items/${again[1]!.id}/removal`, { reason: 'finds too much' });
  const { head, summary, items, history } = await book(id);
  expect(head).toMatchObject({ title: 'Shadow file read on web-3', state: 'open', assignee: 'ben', created_by: 'ann', items: 3 });
  expect(summary).toBe('who read it?');
  expect(items).toMatchObject([
    { kind: 'session', session: SESSION, offset: null, added_by: 'ann' },
    { kind: 'moment', offset: 62_000, note: 'sudo' },
    { kind: 'finding', finding: 'f1' },
  ]);
  expect(history).toMatchObject([
    { kind: 'create', by: 'ann' },
    { kind: 'describe', by: 'ben' },
    { kind: 'assign', by: 'ben', text: 'ben' },
    { kind: 'remove', by: 'ann', text: 'search: finds too much' },
  ]);
  const events = (await rowsOf(id)).map(({ event, actor, source_address: source }) => [event, actor, source]);
  expect(events.map(([event]) => event)).toEqual(expect.arrayContaining(['case.create', 'case.add', 'case.update', 'case.remove']));
  expect(events).toContainEqual(['case.update', 'ben', '192.0.2.1']);
});

describe('closing takes two people:', () => {
  test('whoever asks to close cannot sign, not in a browser either; somebody else can, once', async () => {
    const id = await open('one');
    await act(ann, id, 'investigate');
    await act(ann, id, 'close', 'keys rotated');
    await expect(act(ann, id, 'sign')).rejects.toMatchObject({ code: 'CASE_SELF_SIGN' });
    await expect((await inBrowser(asViewer, ann))(`/v1/cases/${id}/state`, { act: 'sign' })).rejects.toMatchObject({
      code: 'CASE_SELF_SIGN',
    });
    expect(await act(ben, id, 'sign')).toMatchObject({
      state: 'closed',
      closing: { by: 'ann', reason: 'keys rotated' },
      signed: { by: 'ben' },
    });
    await expect(act(ben, id, 'sign')).rejects.toMatchObject({ code: 'CASE_STATE' });
    await expect(add(id, { kind: 'finding', finding: 'late' })).rejects.toMatchObject({ code: 'CASE_STATE' });
    await expect(ann.call('POST', `/v1/cases/${id}`, { title: 'other' })).rejects.toMatchObject({ code: 'CASE_STATE' });
  });

  test('who returns a case and asks to close it anew is the one who cannot sign', async () => {
    const id = await open('two');
    await act(ann, id, 'close', 'nothing happened');
    await act(ben, id, 'return', 'look at db-1 too');
    expect((await book(id)).head).toMatchObject({ state: 'investigating', closing: null });
    await act(ben, id, 'close', 'db-1 is clean');
    await expect(act(ben, id, 'sign')).rejects.toMatchObject({ code: 'CASE_SELF_SIGN' });
    await act(ann, id, 'sign');
    expect(await act(ann, id, 'reopen', 'it happened again')).toMatchObject({ state: 'investigating', closing: null, signed: null });
    expect((await book(id)).history.map(({ kind }) => kind)).toEqual(['create', 'close', 'return', 'close', 'sign', 'reopen']);
  });

  test('of twenty who sign at once one does', async () => {
    const id = await open('three');
    await act(ann, id, 'close', 'done');
    const answers = await Promise.allSettled(Array.from({ length: 20 }, () => act(ben, id, 'sign')));
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await book(id)).history.filter(({ kind }) => kind === 'sign')).toHaveLength(1);
  });
});

test.each<[string, (id: string) => Promise<unknown>, string]>([
  ['to close without a reason', (id) => act(ann, id, 'close'), 'BAD_REQUEST'],
  ['to sign what nobody asked to close', (id) => act(ben, id, 'sign'), 'CASE_STATE'],
  ['a case that is not there', () => act(ann, 'c-0000000000', 'investigate'), 'NOT_FOUND'],
  ['a blank title', () => ann.call('POST', '/v1/cases', { title: '  ' }), 'BAD_REQUEST'],
  ['a title without end', () => ann.call('POST', '/v1/cases', { title: 'x'.repeat(201) }), 'BAD_REQUEST'],
  ['an assignee who is nobody', (id) => ann.call('POST', `/v1/cases/${id}`, { assignee: 'nobody' }), 'USER_UNKNOWN'],
  ['a change that says nothing', (id) => ann.call('POST', `/v1/cases/${id}`, {}), 'BAD_REQUEST'],
  ['a session that is no id', (id) => add(id, { kind: 'session', session: '../x' }), 'BAD_REQUEST'],
  ['a moment before its session', (id) => add(id, { kind: 'moment', session: SESSION, offset: -1 }), 'BAD_REQUEST'],
  ['fields of another kind', (id) => add(id, { kind: 'finding', finding: 'f', session: SESSION }), 'BAD_REQUEST'],
  ['something that is not in it', (id) => ann.call('POST', `/v1/cases/${id}/items/i-000000000000/removal`, {}), 'NOT_FOUND'],
])('%s is refused, and nothing changes', async (_, refused, code) => {
  const id = await open('refusals');
  const before = await book(id);
  await expect(refused(id)).rejects.toMatchObject({ code });
  expect(await book(id)).toEqual(before);
});

test('a case holds 500 things and no more', async () => {
  const id = await open('many');
  for (let from = 0; from < 500; from += 50)
    await add(id, ...Array.from({ length: 50 }, (_, i) => ({ kind: 'finding', finding: `f${from + i}` })));
  await expect(add(id, { kind: 'finding', finding: 'one-more' })).rejects.toMatchObject({ code: 'TOO_MANY' });
  expect(await add(id, { kind: 'finding', finding: 'f3' })).toEqual([]);
  expect((await book(id)).items).toHaveLength(500);
}, 60_000);

test('who may only read cases changes none, signed or in a browser; nobody but a viewer reads them here', async () => {
  const id = await open('whose');
  const browser = await inBrowser(asViewer, pat);
  for (const [target, body] of [
    ['/v1/cases', { title: 'x' }],
    [`/v1/cases/${id}`, { title: 'x' }],
    [`/v1/cases/${id}/state`, { act: 'investigate' }],
    [`/v1/cases/${id}/items`, { items: [{ kind: 'finding', finding: 'f' }] }],
  ] as const) {
    await expect(pat.call('POST', target, body), target).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(browser(target, body), target).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  }
  for (const target of ['/v1/case-heads', `/v1/case-books/${id}`])
    await expect(ann.call('GET', target)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});
