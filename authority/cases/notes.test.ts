import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Note } from '#schemas/api/cases/notes.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { openState } from '#stores/state/open.js';
import { Cleanup, administrator, authorityIn, person, temporaryFolder, viewerOf } from '../testing/authority.js';
import type { Administrator, Signer, ViewerCall } from '../testing/authority.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const ONE = '01jdv3k5m8q2w7x9y4z6a0b1c2';
const TWO = '01jdv3k5m8q2w7x9y4z6a0b1c3';
let folder: string;
let admin: Administrator;
let ann: Signer;
let ben: Signer;
let pat: Signer;
let asViewer: ViewerCall;

beforeAll(async () => {
  folder = temporaryFolder(cleanup);
  const authority = await authorityIn(folder, cleanup);
  admin = await administrator(authority, cleanup);
  const writes = { kind: 'role', name: 'writer', allow: { rules: [{ resources: ['note'], verbs: ['create'] }] } };
  await admin.call('PUT', '/v1/roles/writer', writes);
  await admin.call('PUT', '/v1/roles/plain', { kind: 'role', name: 'plain' });
  for (const [name, of] of [
    ['ann', 'writer'],
    ['ben', 'writer'],
    ['pat', 'plain'],
  ] as const)
    await admin.call('POST', '/v1/users', { name, roles: [of] });
  ann = await person(authority, folder, admin, 'ann', ['writer'], cleanup);
  ben = await person(authority, folder, admin, 'ben', ['writer'], cleanup);
  pat = await person(authority, folder, admin, 'pat', ['plain'], cleanup);
  asViewer = await viewerOf(authority, cleanup);
});

const ticketOf = async (user: string, session: string): Promise<string> =>
  ((await asViewer('POST', '/v1/note-tickets', { user, session })) as { ticket: string }).ticket;
const write = async (who: Signer, body: { readonly session: string; readonly [name: string]: unknown }): Promise<Note> => {
  const ticket = body.session.length === 26 ? await ticketOf(nameOf(who), body.session) : 'x'.repeat(43);
  return (await who.call('POST', '/v1/notes', { ...body, ticket })) as Note;
};
const nameOf = (who: Signer): string => (who === ann ? 'ann' : who === ben ? 'ben' : 'pat');
const notes = async (...sessions: string[]): Promise<readonly Note[]> =>
  (await asViewer('POST', '/v1/session-notes', { sessions })) as readonly Note[];

test('notes come in the order of the session, those on the whole of it first; the audit log says where, not what', async () => {
  await write(ann, { session: ONE, offset: 62_000, text: ' he becomes root ' });
  await write(ben, { session: ONE, offset: 5_000 });
  const whole = await write(ann, { session: ONE, offset: null, text: 'see the ticket' });
  await write(ann, { session: TWO, offset: 1, text: 'elsewhere' });
  expect((await notes(ONE)).map(({ offset, text, created_by: by }) => [offset, text, by])).toEqual([
    [null, 'see the ticket', 'ann'],
    [5_000, '', 'ben'],
    [62_000, 'he becomes root', 'ann'],
  ]);
  expect(await notes(ONE, TWO)).toHaveLength(4);
  const state = await openState({ kind: 'sqlite', file: join(folder, 'authority', 'state.sqlite') });
  const rows = (await state.selectFrom('audit_outbox').select('row').execute()).map(({ row }) => JSON.parse(row) as AuditRow);
  await state.destroy();
  const told = rows.filter(({ event, target }) => event === 'note.add' && target === ONE);
  expect(told).toHaveLength(3);
  expect(told.every(({ session }) => session === ONE)).toBe(true);
  expect(JSON.stringify(rows)).not.toContain('he becomes root');
  expect(told.map(({ data }) => (JSON.parse(data) as { note: string }).note)).toContain(whole.id);
});

test('a note is taken back by its author, or by who may delete notes; to others it is as if it were not there', async () => {
  const [one, two] = [await write(ann, { session: TWO, offset: 7 }), await write(ann, { session: TWO, offset: 8 })];
  await expect(ben.call('DELETE', `/v1/notes/${one.id}`)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await ann.call('DELETE', `/v1/notes/${one.id}`);
  await expect(ann.call('DELETE', `/v1/notes/${one.id}`)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await admin.call('DELETE', `/v1/notes/${two.id}`);
  expect((await notes(TWO)).filter(({ offset }) => offset === 7 || offset === 8)).toEqual([]);
});

test('who may not write notes writes none, signed or in a browser', async () => {
  await expect(write(pat, { session: ONE, offset: 1 })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  const { url_token: token } = (await pat.call('POST', '/v1/sign-in-link', {})) as { url_token: string };
  const { token: web } = (await asViewer('POST', '/v1/sign-in', { token })) as { token: string };
  const headers = { 'x-steno-web-session': web };
  const ticket = await ticketOf('pat', ONE);
  await expect(asViewer('POST', '/v1/notes', { session: ONE, offset: 1, ticket }, headers)).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
  });
  await expect(ann.call('POST', '/v1/session-notes', { sessions: [ONE] })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
});

test('nobody writes on a session that no viewer has shown them: not with another’s ticket, nor one of another session', async () => {
  for (const ticket of [await ticketOf('ben', ONE), await ticketOf('ann', TWO), 'x'.repeat(43)])
    await expect(ann.call('POST', '/v1/notes', { session: ONE, offset: 3, ticket })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  await expect(ann.call('POST', '/v1/notes', { session: ONE, offset: 3 })).rejects.toMatchObject({ code: 'BAD_REQUEST' });
  await expect(ann.call('POST', '/v1/note-tickets', { user: 'ann', session: ONE })).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  expect((await notes(ONE)).filter(({ offset }) => offset === 3)).toEqual([]);
});

test.each<[string, { readonly session: string; readonly [name: string]: unknown }]>([
  ['a bookmark on no moment', { session: ONE, offset: null }],
  ['what is no session', { session: 'x', offset: 1 }],
  ['a text without end', { session: ONE, offset: 1, text: 'x'.repeat(4097) }],
  ['half a millisecond', { session: ONE, offset: 1.5 }],
  ['a moment before the session', { session: ONE, offset: -1 }],
])('%s is refused', async (_, body) => {
  await expect(write(ann, body)).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});
