/** Scheduled searches: each new hit is announced once, limited to what the owner may view at that time, and none after the owner is gone. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { SavedSearch } from '#schemas/api/cases/saved-searches.js';
import { MAX_RUN_HITS, reportSearchRun, takeSearchRuns } from '#schemas/api/cases/saved-searches.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { openState } from '#stores/state/open.js';
import { exampleAuditRow, exampleFindingRow } from '#stores/events/examples.js';
import { Cleanup, clientOf, silent } from '../../authority/testing/authority.js';
import type { Enrolled } from '../../authority/testing/people.js';
import { Access } from '../../viewer/api/access/access.js';
import { ScheduledSearches } from '../../viewer/api/search/scheduled.js';
import { record } from '../../viewer/api/testing/recorded.js';
import { openScene } from './scene.js';
import type { Scene } from './scene.js';

vi.setConfig({ testTimeout: 15_000 });
const cleanup = new Cleanup();
afterAll(() => cleanup.run());

interface Told {
  readonly event: string;
  readonly delivery: string;
  readonly search: { readonly id: string; readonly name: string; readonly owner: string };
  readonly count: number;
  readonly hits: readonly { readonly session: string; readonly kind: string; readonly link: string | null }[];
}

const HOUR = 3_600_000;
let scene: Scene;
let lead: Enrolled;
let dev: Enrolled;
let reader: Enrolled;
let send: Send;
let state: Awaited<ReturnType<typeof openState>>;
const told: Told[] = [];
let told1: () => Promise<void>;

const runner = (through: Send = send): ScheduledSearches =>
  new ScheduledSearches({
    events: scene.stores.events,
    access: new Access(() => ({})),
    send: through,
    log: silent,
    clock: Date.now,
  });
const save = async (who: Enrolled, body: object): Promise<SavedSearch> => {
  const { status, body: saved } = await scene.call<SavedSearch>(who, 'POST', '/api/saved-searches', { every_ms: HOUR, ...body });
  expect(status, JSON.stringify(saved)).toBe(200);
  return saved;
};
const listed = async (who: Enrolled): Promise<readonly SavedSearch[]> =>
  (await scene.call<readonly SavedSearch[]>(who, 'GET', '/api/saved-searches')).body;
const one = async (who: Enrolled, { id }: SavedSearch): Promise<SavedSearch> => (await listed(who)).find((saved) => saved.id === id)!;
const seen = async (env: 'dev' | 'prod', text: string, startedAt = Date.now()): Promise<string> =>
  (
    await record(scene.stores, {
      user: 'someone',
      startedAt,
      state: 'sealed',
      labels: { env },
      lines: [[10, { code: 'o', data: `${text}\r\n` }]],
      screen: [{ text, at: startedAt + 10, offset_ms: 10 }],
    })
  ).id;
/** Makes every scheduled search due, as if a period had passed. */
const periodPasses = (): Promise<unknown> =>
  state.updateTable('saved_searches').set({ next_at: 1 }).where('every_ms', 'is not', null).execute();
/** Messages about a search, once `count` have arrived; a run without new hits sends none. */
const messagesOf = async ({ id }: SavedSearch, count: number): Promise<readonly Told[]> => {
  const own = (): readonly Told[] => told.filter(({ search }) => search.id === id);
  while (own().length < count) await told1();
  return own();
};
const audited = async (event: string, target: string) =>
  (await scene.world.audit()).filter((row) => row.event === event && row.target === target);

beforeAll(async () => {
  scene = await openScene(cleanup);
  const searcher = { resources: ['search'], verbs: ['create', 'read'] };
  await scene.role('lead', { view: 'all', allow: { rules: [{ resources: ['search'], verbs: ['create', 'read', 'update', 'delete'] }] } });
  await scene.role('dev', {
    view: 'none',
    allow: { rules: [searcher], sessions: [{ actions: ['list', 'view'], where: "labels.env == 'dev'" }] },
  });
  await scene.role('reader', { view: 'own', allow: { rules: [{ resources: ['search'], verbs: ['read'] }] } });
  lead = await scene.enrol('lena', 'lead');
  dev = await scene.enrol('dan', 'dev');
  reader = await scene.enrol('rita', 'reader');
  const arrived: (() => void)[] = [];
  told1 = () => new Promise((resolve) => arrived.push(resolve));
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        told.push(JSON.parse(Buffer.concat(chunks).toString()) as Told);
        response.end();
        for (const wake of arrived.splice(0)) wake();
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.add(
    () =>
      new Promise<void>((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  );
  writeFileSync(join(scene.world.folder, 'authority', 'secrets', 'hook'), 'a secret of some length', { mode: 0o600 });
  await scene.world.admin.call('PUT', '/v1/webhooks/hits', {
    ...{ kind: 'webhook', name: 'hits', format: 'json', events: ['search.hit'] },
    ...{ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, secret: { file: 'hook' } },
  });
  state = await openState({ kind: 'sqlite', file: join(scene.world.folder, 'authority', 'state.sqlite') });
  cleanup.add(() => state.destroy());
  const viewer = await clientOf(scene.world.authority, { kind: 'viewer', name: 'runner' }, cleanup);
  send = viewer.relaying({ client: '' });
}, 60_000);
beforeEach(() => void told.splice(0));

describe('a scheduled search', () => {
  test('announces each new hit once over several runs, and none from before it was saved', async () => {
    await seen('dev', 'marzipan before', Date.now() - 60_000);
    const saved = await save(lead, { name: 'sweets', query: 'marzipan' });
    expect(saved).toMatchObject({ owner: 'lena', every_ms: HOUR, told: 0, ran_at: null, error: '' });
    await runner().run();
    expect((await one(lead, saved)).ran_at, 'not due yet').toBeNull();
    const first = await seen('prod', 'marzipan one');
    await periodPasses();
    await runner().run();
    await runner().run();
    expect(await messagesOf(saved, 1)).toMatchObject([
      { event: 'search.hit', search: { name: 'sweets', owner: 'lena' }, count: 1, hits: [{ session: first, kind: 'screen' }] },
    ]);
    expect(JSON.stringify(told), 'a message holds nothing that was recorded').not.toContain('marzipan one');
    const second = await seen('dev', 'marzipan two');
    await periodPasses();
    await runner().run();
    await periodPasses();
    await runner().run();
    const messages = await messagesOf(saved, 2);
    expect(messages.map(({ hits }) => hits.map(({ session }) => session))).toEqual([[first], [second]]);
    expect(new Set(messages.map(({ delivery }) => delivery)).size).toBe(2);
    expect(await one(lead, saved)).toMatchObject({ told: 2, error: '' });
    expect((await audited('search.hit', saved.id)).map(({ actor, data }) => [actor, JSON.parse(data) as object])).toEqual([
      ['lena', { name: 'sweets', query: 'marzipan', hits: 1, sessions: [first] }],
      ['lena', { name: 'sweets', query: 'marzipan', hits: 1, sessions: [second] }],
    ]);
  });

  test('announces a row that is stored late, after a run that was later than the row’s time', async () => {
    const saved = await save(lead, { name: 'late', query: 'kind:finding rule:late-rule' });
    const at = Date.now() + 1;
    await periodPasses();
    await runner().run();
    expect((await one(lead, saved)).ran_at).toBeGreaterThan(0);
    const finding = exampleFindingRow({ id: 'late-1', rule: 'late-rule', at, session: '', user: '', node: '', login: '' });
    await scene.stores.events.insert('findings', [finding], 'late-1');
    await periodPasses();
    await runner().run();
    expect(await messagesOf(saved, 1)).toMatchObject([{ count: 1, hits: [{ kind: 'finding', session: '', link: null }] }]);
  });

  test('announces once when its result is reported twice, as after a lost answer', async () => {
    const saved = await save(lead, { name: 'twice', query: 'nougat' });
    await seen('dev', 'nougat');
    await periodPasses();
    let lost = 0;
    await runner(async (method, target, body) => {
      const answer = await send(method, target, body);
      if (target.endsWith('-results') && lost++ === 0) throw new StenoError('NOT_RUNNING');
      return answer;
    }).run();
    expect(lost).toBe(1);
    await periodPasses();
    await runner().run();
    expect(await messagesOf(saved, 1)).toHaveLength(1);
    expect(await one(lead, saved)).toMatchObject({ told: 1 });
    expect(await audited('search.hit', saved.id)).toHaveLength(1);
  });

  test('is run a period later by another viewer if the one that took it dies, and loses no hit', async () => {
    const saved = await save(lead, { name: 'orphan', query: 'praline' });
    const session = await seen('dev', 'praline');
    await periodPasses();
    expect((await call(send, takeSearchRuns, { body: {} })).map(({ id }) => id)).toContain(saved.id);
    expect((await call(send, takeSearchRuns, { body: {} })).map(({ id }) => id)).not.toContain(saved.id);
    await periodPasses();
    await runner().run();
    expect(await messagesOf(saved, 1)).toMatchObject([{ hits: [{ session }] }]);
  });

  test('finds only what its owner may view when it runs', async () => {
    const saved = await save(dev, { name: 'mine', query: 'licorice' });
    const own = await seen('dev', 'licorice');
    await seen('prod', 'licorice');
    await periodPasses();
    await runner().run();
    expect(await messagesOf(saved, 1)).toMatchObject([{ count: 1, hits: [{ session: own }] }]);
  });

  test('does not run while its owner is locked, even if the lock comes between run and report; lifting the lock loses no hit', async () => {
    const saved = await save(dev, { name: 'locked', query: 'toffee' });
    const session = await seen('dev', 'toffee');
    await periodPasses();
    const [run] = (await call(send, takeSearchRuns, { body: {} })).filter(({ id }) => id === saved.id);
    await scene.world.admin.call('PUT', '/v1/locks/l', {
      ...{ id: 'l', target_kind: 'user', target: 'dan', reason: 'out', expires_at: null },
    });
    const hit = { key: 'ab'.repeat(32), kind: 'screen', at: Date.now(), session, time: 1, user: '', node: '', login: '' } as const;
    const report = { id: saved.id, version: run!.version, began_at: run!.began_at, error: null, done: true, hits: [hit] };
    expect(await call(send, reportSearchRun, { body: report })).toEqual({ fresh: 0 });
    await periodPasses();
    expect((await call(send, takeSearchRuns, { body: {} })).map(({ id }) => id)).not.toContain(saved.id);
    const failed = await audited('search.run', saved.id);
    expect(failed.map(({ actor, code, outcome }) => [actor, code, outcome])).toEqual([['dan', 'LOCKED', 'failure']]);
    await scene.world.admin.call('DELETE', '/v1/locks/l');
    await periodPasses();
    await runner().run();
    expect(await messagesOf(saved, 1)).toMatchObject([{ count: 1, hits: [{ session }] }]);
  });

  test('does not run once its owner has lost the role', async () => {
    await scene.role('other', { view: 'all' });
    const eve = await scene.enrol('eve', 'dev');
    const saved = await save(eve, { name: 'demoted', query: 'fudge' });
    await scene.world.admin.call('PUT', '/v1/users/eve', { roles: ['other'], traits: {} });
    await seen('dev', 'fudge');
    await periodPasses();
    await runner().run();
    expect(await audited('search.run', saved.id)).toMatchObject([{ code: 'ACCESS_DENIED' }]);
    expect(await audited('search.hit', saved.id)).toEqual([]);
  });

  test('is removed with the account of its owner', async () => {
    const gus = await scene.enrol('gus', 'lead');
    const saved = await save(gus, { name: 'gone', query: 'caramel', shared: true });
    expect((await listed(reader)).map(({ id }) => id)).toContain(saved.id);
    await scene.world.admin.call('DELETE', '/v1/users/gus');
    await periodPasses();
    expect((await call(send, takeSearchRuns, { body: {} })).map(({ id }) => id)).not.toContain(saved.id);
    expect((await listed(reader)).map(({ id }) => id)).not.toContain(saved.id);
  });

  test('that finds too much says so instead of announcing hits', async () => {
    const saved = await save(lead, { name: 'wide', query: 'kind:audit floodtest' });
    const rows = Array.from({ length: MAX_RUN_HITS + 1 }, (_, i) =>
      exampleAuditRow({ id: `flood-${i}`, at: Date.now() + i, event: 'node.put', target: 'floodtest' }),
    );
    await scene.stores.events.insert('audit', rows, 'flood');
    await periodPasses();
    await runner().run();
    expect((await one(lead, saved)).error).toMatch(/^QUERY_TOO_HEAVY: more than 1000 hits since .*narrow/);
    expect(await audited('search.hit', saved.id)).toEqual([]);
  });

  test('over the audit log does not find its own audit rows', async () => {
    const saved = await save(lead, { name: 'trace', query: 'kind:audit tracetarget' });
    const trace = (id: string, event: string) => exampleAuditRow({ id, at: Date.now() + 1, event, target: 'tracetarget' });
    await scene.stores.events.insert(
      'audit',
      [trace('t1', 'search.hit'), trace('t2', 'webhook.send'), trace('t4', 'recording.search'), trace('t3', 'node.put')],
      'trace',
    );
    await periodPasses();
    await runner().run();
    expect(await messagesOf(saved, 1)).toMatchObject([{ count: 1 }]);
  });

  test('whose query changes starts afresh', async () => {
    const saved = await save(lead, { name: 'changing', query: 'sherbet' });
    await seen('dev', 'sherbet gelato');
    await periodPasses();
    await runner().run();
    await messagesOf(saved, 1);
    await save(lead, { name: 'changing', query: 'gelato' });
    const session = await seen('dev', 'gelato');
    await periodPasses();
    await runner().run();
    expect((await messagesOf(saved, 2)).at(-1)).toMatchObject({ count: 1, hits: [{ session }] });
  });
});

describe('permissions:', () => {
  test('saving and sharing need separate rights; a private search is visible to its owner only', async () => {
    const refused = await scene.call<{ error: { code: string } }>(reader, 'POST', '/api/saved-searches', { name: 'x', query: 'y' });
    expect(refused.body.error.code).toBe('ACCESS_DENIED');
    const sharing = await scene.call<{ error: { code: string } }>(dev, 'POST', '/api/saved-searches', {
      name: 'x',
      query: 'y',
      shared: true,
    });
    expect(sharing.body.error.code).toBe('ACCESS_DENIED');
    const own = await save(dev, { name: 'private', query: 'y', every_ms: null });
    const shared = await save(lead, { name: 'for all', query: 'y', every_ms: null, shared: true });
    expect((await listed(dev)).map(({ id }) => id)).toEqual(expect.arrayContaining([own.id, shared.id]));
    expect((await listed(lead)).map(({ id }) => id)).not.toContain(own.id);
    for (const [who, id] of [
      [lead, own.id],
      [dev, shared.id],
    ] as const) {
      const { status } = await scene.call(who, 'DELETE', `/api/saved-searches/${id}`);
      expect(status).toBe(404);
    }
    const { status } = await scene.call(dev, 'DELETE', `/api/saved-searches/${own.id}`);
    expect(status).toBe(200);
  });

  test('SQL queries are saved like searches by users who may run SQL, without a schedule', async () => {
    const sql = { language: 'sql', query: 'SELECT count()\nFROM sessions WHERE started_at >= {from}', every_ms: null };
    const refusal = async (who: Enrolled, body: object): Promise<string> =>
      (await scene.call<{ error: { code: string } }>(who, 'POST', '/api/saved-searches', body)).body.error.code;
    expect(await refusal(dev, { name: 'q', ...sql }), 'who may not ask in SQL').toBe('ACCESS_DENIED');
    const rules = (...verbs: string[]) => [
      { resources: ['search'], verbs },
      { resources: ['sql'], verbs: ['read'] },
    ];
    await scene.role('auditor', { view: 'own', allow: { rules: rules('create', 'read', 'update') } });
    await scene.role('asker', { view: 'own', allow: { rules: rules('read') } });
    const [auditor, asker] = [await scene.enrol('arno', 'auditor'), await scene.enrol('asta', 'asker')];
    const saved = await save(auditor, { name: 'per month', shared: true, ...sql });
    expect(saved).toMatchObject({ language: 'sql', query: sql.query, shared: true, every_ms: null, next_at: null });
    expect((await save(auditor, { name: 'per month', shared: true, ...sql, query: 'SELECT 1' })).id, 'the same name').toBe(saved.id);
    expect((await listed(asker)).map(({ id }) => id)).toEqual(expect.arrayContaining([saved.id]));
    expect(
      (await listed(reader)).map(({ id }) => id),
      'who may not ask in SQL',
    ).not.toContain(saved.id);
    await save(auditor, { name: 'words', query: 'shadow', every_ms: null });
    for (const body of [
      { name: 'words', ...sql },
      { name: 'per month', query: 'shadow' },
      { name: 'x', ...sql, every_ms: HOUR },
      { name: 'x', ...sql, query: 'x'.repeat(20_001) },
      { name: 'x', query: 'x'.repeat(1001) },
      { name: 'x', ...sql, query: '  ' },
      { name: 'x', ...sql, language: 'perl' },
    ])
      expect(await refusal(auditor, body), JSON.stringify(body).slice(0, 80)).toBe('BAD_REQUEST');
    expect((await audited('search.save', saved.id)).map(({ data }) => JSON.parse(data))).toContainEqual({
      ...{ name: 'per month', language: 'sql', query: sql.query, shared: true, every_ms: null },
    });
    await periodPasses();
    expect((await call(send, takeSearchRuns, { body: {} })).map(({ id }) => id)).not.toContain(saved.id);
  });

  test.each([
    ['an invalid query', { name: 'x', query: 'path:(' }],
    ['a blank name', { name: '  ', query: 'y' }],
    ['a name with two lines', { name: 'a\nb', query: 'y' }],
    ['a period of a second', { name: 'x', query: 'y', every_ms: 1000 }],
    ['an unknown field', { name: 'x', query: 'y', webhook: 'all' }],
  ])('%s is refused', async (_, body) => {
    const { body: answer } = await scene.call<{ error: { code: string } }>(lead, 'POST', '/api/saved-searches', body);
    expect(answer.error.code).toBe('BAD_REQUEST');
  });

  test('a user has at most twenty scheduled searches', async () => {
    const max = await scene.enrol('max', 'dev');
    for (let i = 0; i < 20; i += 1) await save(max, { name: `s${i}`, query: 'y' });
    const { body } = await scene.call<{ error: { code: string } }>(max, 'POST', '/api/saved-searches', {
      name: 'more',
      query: 'y',
      every_ms: HOUR,
    });
    expect(body.error.code).toBe('TOO_MANY');
    await save(max, { name: 's3', query: 'z' });
    await save(max, { name: 'more', query: 'y', every_ms: null });
  });

  test('only viewers take runs and report them', async () => {
    await expect(scene.world.admin.call('POST', '/v1/saved-search-runs', {})).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });
});
