/** A case shows nobody more than the sessions in it do; items that a user may not see are only counted. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CaseHead } from '#schemas/api/cases/cases.js';
import type { Note } from '#schemas/api/cases/notes.js';
import type { CaseView } from '#schemas/api/cases/workbench.js';
import { exampleFindingRow } from '#stores/events/examples.js';
import { Cleanup } from '../../authority/testing/authority.js';
import type { Enrolled } from '../../authority/testing/people.js';
import { record } from '../../viewer/api/testing/recorded.js';
import type { Recorded } from '../../viewer/api/testing/recorded.js';
import { openScene } from './scene.js';
import type { Scene } from './scene.js';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const AT = Date.UTC(2026, 4, 3, 9);
let scene: Scene;
let lead: Enrolled;
let dev: Enrolled;
let alice: Enrolled;
let blind: Enrolled;
let out: Enrolled;
let ofAlice: Recorded;
let ofBob: Recorded;
let id: string;

beforeAll(async () => {
  scene = await openScene(cleanup);
  const may = (...resources: string[]) => ({ resources, verbs: ['read', 'create', 'update'] });
  await scene.role('lead', { view: 'all', allow: { rules: [may('case', 'note', 'finding')] } });
  await scene.role('dev', {
    view: 'none',
    allow: { rules: [may('case', 'note')], sessions: [{ actions: ['list', 'view'], where: "labels.env == 'dev'" }] },
  });
  await scene.role('self', { view: 'own', allow: { rules: [may('case', 'finding')] } });
  await scene.role('blind', { view: 'none', allow: { rules: [may('case')] } });
  await scene.role('out', { view: 'all' });
  lead = await scene.enrol('lena', 'lead');
  dev = await scene.enrol('dan', 'dev');
  alice = await scene.enrol('alice', 'self');
  blind = await scene.enrol('blake', 'blind');
  out = await scene.enrol('otto', 'out');
  const lines = [
    [0, { code: 'o', data: '$ ls\r\n' }],
    [90_000, { code: 'o', data: '$ exit\r\n' }],
  ] as const;
  ofAlice = await record(scene.stores, { user: 'alice', startedAt: AT, state: 'sealed', lines, labels: { env: 'dev' } });
  ofBob = await record(scene.stores, { user: 'bob', node: 'db-1', startedAt: AT + 1000, state: 'sealed', lines, labels: { env: 'prod' } });
  const finding = (name: string, { id: session }: Recorded, user: string, offset: number) =>
    exampleFindingRow({ id: name, session, user, at: AT + offset, offset_ms: offset, data: JSON.stringify({ title: `title ${name}` }) });
  await scene.stores.events.insert('findings', [finding('fa', ofAlice, 'alice', 5000), finding('fb', ofBob, 'bob', 6000)], 'findings');
  ({ id } = (await scene.call<CaseHead>(lead, 'POST', '/api/cases', { title: 'Who read it?', summary: 'since Monday' })).body);
  const items = [
    { kind: 'session', session: ofAlice.id, note: 'the way in' },
    { kind: 'moment', session: ofAlice.id, offset: 3000, note: 'secret-of-alice' },
    { kind: 'moment', session: ofBob.id, offset: 4000, note: 'secret-of-bob' },
    { kind: 'finding', finding: 'fa' },
    { kind: 'finding', finding: 'fb' },
    { kind: 'finding', finding: 'gone' },
    { kind: 'search', query: 'path:/etc/shadow' },
  ];
  expect((await scene.call(lead, 'POST', `/api/cases/${id}/items`, { items })).status).toBe(200);
  for (const [{ id: session }, text] of [
    [ofAlice, 'note-on-alice'],
    [ofBob, 'note-on-bob'],
  ] as const)
    expect((await scene.note(lead, { session, offset: 2000, text })).status).toBe(200);
}, 60_000);

const view = async (who: Enrolled): Promise<CaseView> => (await scene.call<CaseView>(who, 'GET', `/api/cases/${id}`)).body;

test('the timeline orders all items of the case by time', async () => {
  const { head, summary, timeline, sessions, hidden } = await view(lead);
  expect(head).toMatchObject({ title: 'Who read it?', items: 7, state: 'open' });
  expect(summary).toBe('since Monday');
  expect(sessions.map(({ id: session }) => session)).toEqual([ofAlice.id, ofBob.id]);
  expect(hidden).toBe(1);
  expect(timeline.map(({ kind, title, text }) => [kind, title || text])).toEqual([
    ['started', 'the way in'],
    ['note', 'note-on-alice'],
    ['moment', 'secret-of-alice'],
    ['note', 'note-on-bob'],
    ['moment', 'secret-of-bob'],
    ['finding', 'title fa'],
    ['finding', 'title fb'],
    ['ended', ''],
    ['history', 'create'],
    ['search', 'path:/etc/shadow'],
  ]);
  const at = timeline.map((entry) => entry.at);
  expect(at).toEqual([...at].sort((a, b) => a - b));
  expect(timeline[5]).toMatchObject({ session: ofAlice.id, offset: 5000, severity: 'high', link: `/sessions/${ofAlice.id}?t=5000` });
  expect(timeline[9]!.link).toBe('/search?q=path%3A%2Fetc%2Fshadow');
});

describe('its content as seen by', () => {
  const cases: readonly [string, () => Enrolled, readonly string[], number][] = [
    ['a user who may view sessions by label but no findings', () => dev, ['started', 'note', 'moment', 'ended', 'history', 'search'], 4],
    [
      'a user who may view their own sessions and findings about them',
      () => alice,
      ['started', 'note', 'moment', 'finding', 'ended', 'history', 'search'],
      3,
    ],
    ['a user who may view nothing', () => blind, ['history', 'search'], 6],
  ];
  test.each(cases)('%s', async (_, who, kinds, hidden) => {
    const { text, body } = await scene.call<CaseView>(who(), 'GET', `/api/cases/${id}`);
    expect(body.timeline.map(({ kind }) => kind)).toEqual(kinds);
    expect(body.hidden).toBe(hidden);
    for (const word of [ofBob.id, 'secret-of-bob', 'note-on-bob', 'title fb', 'bob', 'db-1']) expect(text).not.toContain(word);
  });

  test('a user who may not read cases sees no list and no case, whatever sessions they may view', async () => {
    for (const path of ['/api/cases', `/api/cases/${id}`, '/api/cases/c-0000000000', '/api/cases/x'])
      expect(await scene.call(out, 'GET', path)).toMatchObject({ status: 403, body: { error: { code: 'ACCESS_DENIED' } } });
  });

  test('a case that does not exist is not found', async () => {
    for (const path of ['c-0000000000', 'x', '..%2Fweb-session'])
      expect((await scene.call(lead, 'GET', `/api/cases/${path}`)).status, path).toBe(404);
  });
});

test('users who may view the session can read its notes, and reading them is audited as viewing', async () => {
  const notes = (who: Enrolled, session: string) => scene.call<readonly Note[]>(who, 'GET', `/api/sessions/${session}/notes`);
  expect((await notes(out, ofBob.id)).body.map(({ text }) => text)).toEqual(['note-on-bob']);
  expect((await notes(dev, ofAlice.id)).body).toMatchObject([{ text: 'note-on-alice', created_by: 'lena', offset: 2000 }]);
  for (const who of [dev, alice]) expect(await notes(who, ofBob.id)).toMatchObject({ status: 404 });
  expect((await notes(blind, ofBob.id)).status).toBe(403);
  const rows = await scene.world.audit();
  expect(rows).toContainEqual(expect.objectContaining({ event: 'recording.view', actor: 'dan', session: ofAlice.id, outcome: 'success' }));
  expect(rows).toContainEqual(expect.objectContaining({ event: 'recording.view', actor: 'blake', session: ofBob.id, outcome: 'failure' }));
});

test('the list has the unsettled cases unless asked for more', async () => {
  const { id: other } = (await scene.call<CaseHead>(lead, 'POST', '/api/cases', { title: 'Settled' })).body;
  await scene.call(lead, 'POST', `/api/cases/${other}/state`, { act: 'close', reason: 'nothing' });
  expect((await scene.call(dev, 'POST', `/api/cases/${other}/state`, { act: 'sign' })).status).toBe(200);
  const list = async (query: string): Promise<readonly string[]> =>
    (await scene.call<readonly CaseHead[]>(blind, 'GET', `/api/cases${query}`)).body.map(({ title }) => title);
  expect(await list('')).toEqual(['Who read it?']);
  expect(await list('?state=closed')).toEqual(['Settled']);
  expect(await list('?state=all')).toEqual(['Settled', 'Who read it?']);
  expect((await scene.call(blind, 'GET', '/api/cases?state=gone')).status).toBe(400);
});
