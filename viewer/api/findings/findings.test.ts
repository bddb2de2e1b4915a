import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FindingCounts, FindingDetail, FindingList } from '#schemas/api/recordings/findings.js';
import type { showResponse } from '#schemas/api/recordings/response.js';
import type { Answer } from '#schemas/endpoint/endpoint.js';
import type { FindingRow } from '#schemas/events/rows.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow } from '#stores/events/examples.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
let mine: Recorded;
let theirs: Recorded;

const at = Date.UTC(2026, 4, 3, 9);
async function get(path: string, word: string, user = 'root'): Promise<{ readonly status: number; readonly body: unknown }> {
  const answer = await fetch(`${stand.url}${path}`, { headers: { cookie: stand.signIn(user, word) } });
  return { status: answer.status, body: await answer.json() };
}
const ids = async (word: string, user?: string, query = ''): Promise<readonly string[]> =>
  ((await get(`/api/findings${query}`, word, user)).body as FindingList).findings.map(({ id }) => id);

beforeAll(async () => {
  stand = await openStand();
  const lines = [[0, { code: 'o', data: 'x\r\n' }]] as const;
  mine = await record(stand, { user: 'alice', startedAt: at, state: 'sealed', lines, labels: { env: 'dev' } });
  theirs = await record(stand, { user: 'bob', node: 'db-1', startedAt: at, state: 'sealed', lines, labels: { env: 'prod' } });
  const finding = (id: string, { session, user, node }: { session: string; user: string; node: string }, more: Partial<FindingRow> = {}) =>
    exampleFindingRow({ id, session, user, node, at: at + 5000, offset_ms: 5000, evidence: [], ...more });
  const ofAlice = { session: mine.id, user: 'alice', node: 'web-3' };
  const ofBob = { session: theirs.id, user: 'bob', node: 'db-1' };
  const exec = exampleEventRow({ session: mine.id, source: 'kernel', emitter: 'agent/web-3', block: 1, index: 0, offset_ms: 4800 });
  const other = exampleEventRow({ session: theirs.id, source: 'kernel', emitter: 'agent/db-1', block: 1, index: 0 });
  await stand.events.insert('events', [exec, other], 'evidence');
  const evidence = [`${mine.id}:kernel:agent/web-3:1.0`, `${theirs.id}:kernel:agent/db-1:1.0`, `${mine.id}:kernel:agent/web-3:9.9`];
  const data = JSON.stringify({ title: 'Shadow <b>read</b>', reason: 'cat read /etc/shadow', advice: 7, tier: 'alert' });
  await stand.events.insert(
    'findings',
    [
      finding('a1', ofAlice, { evidence, data }),
      finding('a2', ofAlice, { severity: 'low', offset_ms: null, at: at + 1000 }),
      finding('b1', ofBob, { severity: 'critical', at: at + 3000 }),
      finding('n1', { session: '', user: '', node: 'web-3' }, { severity: 'info', at }),
    ],
    'findings',
  );
  const row = { id: 't1', event: 'finding.triage', target: 'a2', actor: 'ann', at: at + 9000 };
  await stand.events.insert(
    'audit',
    [exampleAuditRow({ ...row, data: JSON.stringify({ state: 'dismissed', version: 1, reason: 'a test' }) })],
    'triage',
  );
  const read = { rules: [{ resources: ['finding'], verbs: ['read'] }] };
  stand.role('reader', { view: 'own', allow: read });
  stand.role('dev', { allow: { ...read, sessions: [{ actions: ['view'], where: "labels.env == 'dev'" }] } });
  stand.role('denied', { view: 'all', deny: read });
  stand.role('blind', { allow: read });
});
afterAll(() => stand.close());

describe('who sees which findings', () => {
  test.each<[string, string, string, readonly string[]]>([
    ['who views all sessions: all, those of no session too', 'all', 'root', ['a1', 'b1', 'a2', 'n1']],
    ['who may read findings and view their own sessions: those', 'reader', 'alice', ['a1', 'a2']],
    ['by a rule on labels', 'dev', 'root', ['a1', 'a2']],
  ])('%s', async (_, word, user, expected) => {
    expect(await ids(word, user)).toEqual(expected);
    const counts = (await get('/api/finding-counts', word, user)).body as FindingCounts;
    expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(expected.length);
    for (const id of ['a1', 'a2', 'b1', 'n1'])
      expect((await get(`/api/findings/${id}`, word, user)).status, id).toBe(expected.includes(id) ? 200 : 404);
  });

  test.each<[string, string, string]>([
    ['who views their own sessions is not told that they were noticed', 'own', 'alice'],
    ['a denial wins over view: all', 'denied', 'root'],
    ['who views no session sees no finding', 'blind', 'root'],
  ])('%s', async (_, word, user) => {
    for (const path of ['/api/findings', '/api/findings/a1', '/api/finding-counts'])
      expect(await get(path, word, user)).toMatchObject({ status: 403, body: { error: { code: 'ACCESS_DENIED' } } });
  });
});

test('a list is filtered and paged, each finding once', async () => {
  expect(await ids('all', 'root', '?state=open&severity=high,critical')).toEqual(['a1', 'b1']);
  expect(await ids('all', 'root', '?state=dismissed')).toEqual(['a2']);
  expect(await ids('all', 'root', `?session=${mine.id}`)).toEqual(['a1', 'a2']);
  const seen: string[] = [];
  for (let next: string | null = ''; next !== null;) {
    const page: FindingList = (await get(`/api/findings?limit=1${next === '' ? '' : `&before=${next}`}`, 'all')).body as FindingList;
    seen.push(...page.findings.map(({ id }) => id));
    next = page.next;
  }
  expect(seen).toEqual(['a1', 'b1', 'a2', 'n1']);
});

test('signals are listed for who asks for them, and never counted as what is open', async () => {
  const signal = exampleFindingRow({
    id: 's1',
    rule: 'steno/tagged',
    session: mine.id,
    user: 'alice',
    node: 'web-3',
    at: 1,
    data: '{"title":"Tagged","tier":"signal"}',
  });
  const before = (await get('/api/finding-counts', 'all')).body;
  await stand.events.insert('findings', [signal], 'a signal');
  expect(await ids('all', 'root')).toEqual(['a1', 'b1', 'a2', 'n1']);
  expect(await ids('all', 'root', '?tier=signal')).toEqual(['s1']);
  expect(await ids('all', 'root', '?rule=steno/tagged')).toEqual(['s1']);
  expect((await get('/api/finding-counts', 'all')).body).toEqual(before);
});

test.each(['?state=gone', '?severity=high,,low', '?limit=0', '?rule=', '?unknown=1', '?before=x', '?severity='])(
  '%s is refused',
  async (query) =>
    expect(await get(`/api/findings${query}`, 'all')).toMatchObject({ status: 400, body: { error: { code: 'BAD_REQUEST' } } }),
);

test('one finding says why, and leads to the moment; evidence of sessions that may not be viewed is only counted', async () => {
  const shown = (await get('/api/findings/a1', 'dev', 'carol')).body as FindingDetail;
  expect(shown.finding).toMatchObject({
    title: 'Shadow <b>read</b>',
    reason: 'cat read /etc/shadow',
    advice: '',
    tier: 'alert',
    events: 3,
    link: `/sessions/${mine.id}?t=5000`,
    triage: null,
  });
  expect(shown.evidence).toMatchObject([{ session: mine.id, link: `/sessions/${mine.id}?t=4800` }]);
  expect(shown.missing).toBe(2);
  expect(stand.disclosures).toContainEqual(
    expect.objectContaining({ event: 'recording.view', actor: 'carol', session: mine.id, code: null }),
  );
  expect(((await get('/api/findings/a1', 'all')).body as FindingDetail).evidence).toHaveLength(2);
  expect(((await get('/api/findings/a2', 'all')).body as FindingDetail).finding).toMatchObject({
    state: 'dismissed',
    triage: { by: 'ann', reason: 'a test' },
    link: `/sessions/${mine.id}`,
  });
});

test('response adds up what may be seen, for who may also read the audit log', async () => {
  const path = `/api/finding-response?from=${at}&to=${at + 10_000}`;
  const response = async (word: string, user = 'root') => (await get(path, word, user)).body as Answer<typeof showResponse>;
  await stand.events.insert(
    'audit',
    [
      exampleAuditRow({ id: 'look', event: 'recording.view', session: mine.id, actor: 'ann', at: at + 7000 }),
      exampleAuditRow({ id: 'own look', event: 'recording.view', session: mine.id, actor: 'alice', at: at + 5001 }),
    ],
    'looks',
  );
  const month = Date.UTC(2026, 4, 1);
  // a1 after two seconds, a2 after six: the earlier decision about a2 came later still.
  expect(await response('all')).toMatchObject({
    ...{ from: at, to: at + 10_000 },
    months: [
      {
        month,
        findings: 4,
        look: { count: 2, median: 6000, p90: 6000 },
        lock: { count: 0, median: null },
        closed: { count: 1, median: 8000 },
      },
    ],
  });
  stand.role('measurer', { view: 'own', allow: { rules: [{ resources: ['finding', 'audit'], verbs: ['read'] }] } });
  expect((await response('measurer', 'alice')).months).toMatchObject([{ findings: 2, look: { count: 2 } }]);
  expect((await response('measurer', 'bob')).months).toMatchObject([{ findings: 1, look: { count: 0, median: null, p90: null } }]);
  for (const [word, user] of [
    ['reader', 'alice'],
    ['own', 'alice'],
    ['denied', 'root'],
  ] as const)
    expect(await get(path, word, user), word).toMatchObject({ status: 403, body: { error: { code: 'ACCESS_DENIED' } } });
  expect(await get(`/api/finding-response?from=5&to=5`, 'all')).toMatchObject({ status: 400 });
  expect((await get('/api/finding-response', 'all')).status).toBe(200);
});
