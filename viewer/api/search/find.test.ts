/** Searches through the API: what each user finds, and the audit rows of searches. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { FoundHits, FoundOverview, FoundSessions } from '#schemas/api/recordings/find.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow } from '#stores/events/examples.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
let mine: Recorded;
let theirs: Recorded;
const at = Date.UTC(2026, 0, 31, 12);

beforeAll(async () => {
  stand = await openStand();
  const base = { state: 'sealed', lines: [[0, { code: 'o', data: 'x' }]] } as const;
  mine = await record(stand, {
    ...base,
    user: 'alice',
    node: 'web-3',
    login: 'root',
    startedAt: at,
    screen: [
      { text: '$ cat /etc/shadow', offset_ms: 2000, index: 1 },
      { text: 'root:*:', offset_ms: 2100, index: 2 },
    ],
  });
  theirs = await record(stand, {
    ...base,
    user: 'bob',
    node: 'db-1',
    login: 'dba',
    startedAt: at + 60_000,
    screen: [{ text: 'nothing here', offset_ms: 10, index: 1 }],
  });
  const place = { session: theirs.id, user: 'bob', node: 'db-1', login: 'dba' };
  await stand.events.insert(
    'events',
    [
      exampleEventRow({
        ...place,
        source: 'kernel',
        emitter: 'agent/db-1',
        kind: 'file',
        path: '/etc/shadow',
        name: 'open',
        reason: 'O_RDONLY',
        at: at + 61_000,
        offset_ms: 1000,
        block: 1,
        index: 7,
      }),
      exampleEventRow({
        ...place,
        source: 'kernel',
        emitter: 'agent/db-1',
        kind: 'connect',
        address: '10.1.2.3',
        port: 4444,
        name: 'tcp',
        at: at + 62_000,
        offset_ms: 2000,
        block: 1,
        index: 8,
      }),
      exampleEventRow({
        session: '',
        source: 'kubernetes',
        emitter: 'gateway/gw-1',
        kind: 'kube',
        user: 'bob',
        node: '',
        login: '',
        cluster: 'prod',
        namespace: 'shop',
        path: '/api/v1/secrets',
        name: 'list secrets',
        at: at + 63_000,
        block: 1,
        index: 9,
      }),
    ],
    'find events',
  );
  await stand.events.insert(
    'findings',
    [
      exampleFindingRow({
        ...place,
        id: 'f-find',
        rule: 'steno/shadow',
        at: at + 61_500,
        offset_ms: 1000,
        row: null,
        data: JSON.stringify({ title: 'Shadow file read', reason: 'first time by bob' }),
      }),
    ],
    'find findings',
  );
  await stand.events.insert(
    'audit',
    [exampleAuditRow({ id: 'find-audit', actor: 'carol', event: 'lock.add', target: 'shadow-user', at: at + 64_000 })],
    'find audit',
  );
});
afterAll(() => stand.close());

async function get<T>(path: string, cookie: string): Promise<T> {
  const answer = await fetch(`${stand.url}${path}`, { headers: { cookie } });
  const body = (await answer.json()) as T;
  if (answer.status !== 200) throw Object.assign(new Error(JSON.stringify(body)), { status: answer.status, body });
  return body;
}
const find = (q: string, cookie: string): Promise<FoundSessions> => get<FoundSessions>(`/api/find?q=${encodeURIComponent(q)}`, cookie);

test('one word finds the screen of one session, the file of another, its finding and the audit row', async () => {
  const all = stand.signIn('root', 'all');
  const { groups, next } = await find('shadow', all);
  expect(next).toBeNull();
  expect(
    groups.map(({ session, count, hits }) => [session?.id, count, hits.map(({ kind, text, detail }) => [kind, text, detail])]),
  ).toEqual([
    [undefined, 1, [['audit', 'lock.add shadow-user', 'success']]],
    [
      theirs.id,
      2,
      [
        ['finding', 'Shadow file read', 'first time by bob'],
        ['file', '/etc/shadow', 'open, O_RDONLY'],
      ],
    ],
    [mine.id, 1, [['screen', '$ cat /etc/shadow', '']]],
  ]);
  const [, , { hits }] = groups as [unknown, unknown, FoundSessions['groups'][number]];
  expect(hits[0]).toMatchObject({ after: ['root:*:'], time: 2000, link: expect.stringContaining(`/sessions/${mine.id}?t=2000`) as string });
});

test('hits one by one, in pages; counts by kind and time', async () => {
  const all = stand.signIn('root', 'all');
  const seen: string[] = [];
  let before = '';
  do {
    const page = await get<FoundHits>(`/api/find/hits?q=shadow&limit=1${before}`, all);
    seen.push(...page.hits.map(({ kind }) => kind));
    before = page.next === null ? '' : `&before=${encodeURIComponent(page.next)}`;
  } while (before !== '');
  expect(seen).toEqual(['audit', 'finding', 'file', 'screen']);
  const overview = await get<FoundOverview>('/api/find/overview?q=shadow', all);
  expect([overview.total, overview.sessions]).toEqual([4, 2]);
  expect(overview.facets.user).toEqual([
    { value: 'bob', count: 2 },
    { value: 'alice', count: 1 },
    { value: 'carol', count: 1 },
  ]);
  expect(overview.histogram.reduce((sum, { count }) => sum + count, 0)).toBe(4);
});

test('fields narrow, and requests to Kubernetes are found by who sees everything', async () => {
  const all = stand.signIn('root', 'all');
  const kinds = async (q: string): Promise<string[]> =>
    (await get<FoundHits>(`/api/find/hits?q=${encodeURIComponent(q)}`, all)).hits.map(({ kind }) => kind);
  expect(await kinds('dst:10.0.0.0/8 port:4444')).toEqual(['connect']);
  expect(await kinds('verb:list cluster:prod')).toEqual(['kube']);
  expect(await kinds('path:shadow -user:alice')).toEqual(['file']);
  expect(await kinds('has:finding kind:command')).toEqual(['command']);
});

test('who sees their own sessions finds nothing else, and no audit rows', async () => {
  const alice = stand.signIn('alice', 'own');
  expect((await find('shadow', alice)).groups.map(({ session }) => session?.id)).toEqual([mine.id]);
  expect(await get<FoundOverview>('/api/find/overview?q=shadow', alice)).toMatchObject({
    total: 1,
    facets: { user: [{ value: 'alice', count: 1 }] },
  });
  expect(await get('/api/find/values?field=node', alice)).toEqual({ values: [{ value: 'web-3', count: 1 }] });
  expect(await get('/api/find/values?field=user&prefix=b', alice)).toEqual({ values: [] });
});

test('what is wrong with a query is said with its place', async () => {
  await expect(get('/api/find?q=usr:x', stand.signIn('root', 'all'))).rejects.toMatchObject({
    status: 400,
    message: expect.stringContaining('did you mean \\"user\\"?') as string,
  });
  await expect(get(`/api/find?q=${encodeURIComponent('a (b')}`, stand.signIn('root', 'all'))).rejects.toMatchObject({
    message: expect.stringContaining('at character 3') as string,
  });
  await expect(get(`/api/find?q=${encodeURIComponent('/(/')}`, stand.signIn('root', 'all'))).rejects.toMatchObject({ status: 400 });
});
