/** Searches of the store compared with a plain evaluator, on random rows. STENO_TEST_LONG=1 tries three times as many. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { severities } from '#schemas/events/rows.js';
import { eventKinds, kindsOf } from '#schemas/events/kinds.js';
import { printSearch } from '#schemas/search/print.js';
import { parseSearch } from '#schemas/search/parse.js';
import { anySearch } from '#schemas/testing/searches.js';
import type { EventFixture } from '../conformance.js';
import {
  exampleAuditRow,
  exampleEventRow,
  exampleFindingRow,
  exampleScreenRow,
  exampleSession,
  exampleSessionRow,
  exampleStart,
} from '../examples.js';
import type { FoundRow, SearchScope } from '../search-contract.js';
import { openedChdb } from '../testing/opened.js';
import { finds } from '../testing/search-evaluator.js';
import type { SearchedRows } from '../testing/search-evaluator.js';

const times = process.env['STENO_TEST_LONG'] === '1' ? 3 : 1;

const texts = [
  'sudo',
  'cat /etc/shadow',
  '/etc/shadow',
  'root',
  'a-b',
  '10.1.2.3',
  'curl x|sh',
  'naïve',
  '│sudo│',
  'x*y',
  'back\\slash',
  'per%cent_',
  'SHADOW',
];
const names = ['alice', 'bob', 'web-1', 'db_2', 'root', 'prod'];
const paths = ['/etc/shadow', '/usr/bin/cat', '/home/a b/x*y', 'shadow', ''];
const addresses = ['10.1.2.3', '10.200.0.1', '2001:db8::7', '/run/x.sock', ''];
const moments = [exampleStart, exampleStart + 1000, exampleStart + 60_000, exampleStart + 90_000_000];

function randomRows(seed: number): readonly FoundRow[] {
  let state = seed;
  const below = (n: number): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) % n;
  const of = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const place = () => ({ user: of(names), node: of(names), login: of(names), at: of(moments) + below(3) });
  const lasting = (): { readonly started_at: number; readonly ended_at: number | null } => {
    const started = of(moments);
    return { started_at: started, ended_at: of([null, started, started + 2500, started + 70_000]) };
  };
  const rows: FoundRow[] = [];
  for (let n = 1; n <= 20; n += 1)
    rows.push({
      table: 'sessions',
      row: exampleSessionRow({
        session: exampleSession(n),
        user: of(names),
        node: of(names),
        login: of(names),
        ...lasting(),
        command: of([...texts, '']),
        request_id: of(['', 'r1', 'r1,prod']),
        cluster: of(['', 'prod']),
        namespace: of(['', 'shop']),
        image: of(['', 'nginx:1']),
        labels: of<Record<string, string>>([{}, { env: 'prod' }, { prod: 'x', env: 'dev' }]),
        labels_known: of([true, true, false]),
      }),
    });
  const session = () => exampleSession(1 + below(20));
  for (let i = 0; i < 150; i += 1) {
    rows.push({ table: 'screen', row: exampleScreenRow({ session: session(), block: i, text: of(texts), ...place() }) });
    const kind = of(kindsOf('kernel'));
    const kube = below(6) === 0;
    rows.push({
      table: 'events',
      row: exampleEventRow({
        session: kube ? '' : session(),
        source: kube ? 'kubernetes' : 'kernel',
        emitter: 'agent/x',
        block: i,
        kind: kube ? 'kube' : kind,
        path: of(paths),
        name: kube ? 'get pods/exec' : of(texts),
        address: of(addresses),
        port: of([null, 22, 443, 65_535]),
        size: of([null, 0, 4096]),
        sha256: of(['', 'ab'.repeat(32)]),
        reason: of(['', 'O_WRONLY', 'root']),
        outcome: of(['', 'success', 'failure']),
        cluster: of(['', 'prod']),
        pod: of(['', 'web-1']),
        ...place(),
      }),
    });
  }
  for (let i = 0; i < 20; i += 1) {
    rows.push({
      table: 'findings',
      row: exampleFindingRow({
        id: `f${i}`,
        session: below(5) === 0 ? '' : exampleSession(1 + below(6)),
        rule: of(['steno/shadow', 'x*y']),
        severity: of(severities),
        techniques: of([[], ['T1003.008'], ['T1059', 'T1003']]),
        data: JSON.stringify({ title: of(texts) }),
        ...place(),
      }),
    });
    const { user, ...rest } = place();
    rows.push({
      table: 'audit',
      row: exampleAuditRow({
        id: `a${i}`,
        actor: user,
        session: '',
        event: of(['session.start', 'auth.refused']),
        target: of(texts),
        reason: of(texts),
        ...rest,
      }),
    });
  }
  return rows;
}

let fixture: EventFixture;
let all: SearchedRows;
const everything: SearchScope = { audit: true };
const idOf = ({ table, row }: FoundRow): string =>
  table === 'sessions'
    ? row.session
    : table === 'findings' || table === 'audit'
      ? row.id
      : `${table} ${row.session} ${row.block} ${row.index}`;

beforeAll(async () => {
  fixture = await openedChdb(0);
  const rows = randomRows(11);
  const sessions = new Map(rows.flatMap((found) => (found.table === 'sessions' ? [[found.row.session, found.row] as const] : [])));
  all = { rows, sessions };
  for (const table of ['sessions', 'screen', 'events', 'findings', 'audit'] as const) {
    const own = rows.filter((found) => found.table === table).map(({ row }) => row);
    await fixture.store.insert(table, own as never, `first ${table}`);
    // The same rows again in another batch: each is found once.
    await fixture.store.insert(table, own.slice(0, 30) as never, `again ${table}`);
  }
});
afterAll(async () => {
  await fixture.store.close();
  await fixture.dispose();
});

const searches = anySearch({
  texts: [...texts, 'Shadow', 'etc', 'é', '|'],
  values: {
    user: names,
    node: names,
    login: names,
    session: [exampleSession(3), exampleSession(20)],
    exe: ['/usr/bin/cat', 'cat', 'shadow'],
    path: [...paths.slice(0, 4), 'b/x*y'],
    dst: ['10.0.0.0/8', '2001:db8::/32', '10.1.2.3'],
    sha256: ['ab'.repeat(32)],
    outcome: ['success', 'failure'],
    reason: ['O_WRONLY', 'root'],
    verb: ['get', 'session.start'],
    rule: ['steno/shadow', 'x*y'],
    technique: ['T1003.008', 'T1059'],
    cluster: ['prod'],
    namespace: ['shop'],
    pod: ['web-1'],
    image: ['nginx:1'],
    label: ['env=prod', 'env', 'prod'],
    request: ['r1', 'prod'],
  },
  moments,
});

test('every search finds the right rows, each once, in pages and by session', async () => {
  await fc.assert(
    fc.asyncProperty(searches, fc.integer({ min: 1, max: 40 }), async (expression, limit) => {
      const expected = all.rows.filter((found) => finds(expression, found, all));
      const rows: FoundRow[] = [];
      let cursor: string | undefined;
      for (let pages = 0; pages < 2 || (cursor !== undefined && pages < 400); pages += 1) {
        const page = await fixture.store.searchRows({
          expression,
          scope: everything,
          limit: Math.max(limit, Math.ceil(expected.length / 3)),
          cursor,
        });
        rows.push(...page.rows);
        cursor = page.next ?? undefined;
        if (cursor === undefined) break;
      }
      expect(rows.map(idOf).sort(), printSearch(expression)).toEqual(expected.map(idOf).sort());
      const moments = rows.map(({ table, row }) => (table === 'sessions' ? row.started_at : row.at));
      expect(moments).toEqual([...moments].sort((a, b) => b - a));
      const groups = await fixture.store.searchBySession({ expression, scope: everything, limit: 100, each: 2 });
      const counts = new Map<string, number>();
      for (const { row } of expected) counts.set(row.session, (counts.get(row.session) ?? 0) + 1);
      expect(new Map(groups.rows.map(({ session, count }) => [session, count]))).toEqual(counts);
      for (const { session, hits, count } of groups.rows) {
        const own = rows.filter(({ row }) => row.session === session);
        const tables = new Set(own.map(({ table }) => table));
        expect(hits).toHaveLength(Math.min(2, count));
        expect(new Set(hits.map(({ table }) => table)).size).toBe(Math.min(tables.size, hits.length));
        // In the order of the whole list, starting with the first of each table.
        const places = hits.map((hit) => own.findIndex((one) => idOf(one) === idOf(hit)));
        expect(places).toEqual([...places].sort((a, b) => a - b));
        for (const table of new Set(hits.map((hit) => hit.table)))
          expect(idOf(hits.find((hit) => hit.table === table)!)).toBe(idOf(own.find((one) => one.table === table)!));
      }
      const overview = await fixture.store.searchOverview({ expression, scope: everything });
      expect(overview.total).toBe(expected.length);
      expect(overview.histogram.reduce((sum, { count }) => sum + count, 0)).toBe(expected.length);
      for (const { value, count } of overview.facets.kind)
        expect(count).toBe(
          expected.filter(
            (found) =>
              (found.table === 'events'
                ? found.row.kind
                : { screen: 'screen', sessions: 'command', findings: 'finding', audit: 'audit' }[found.table]) === value,
          ).length,
        );
    }),
    { numRuns: 16 * times },
  );
}, 300_000);

test('a user with limited visibility finds nothing of other sessions in rows, counts, facets or marks', async () => {
  const visible = { kind: 'equal', a: { kind: 'user' as const, marked: null }, b: { kind: 'text' as const, text: 'alice' } } as const;
  const mine = new Set([...all.sessions.values()].filter(({ user }) => user === 'alice').map(({ session }) => session));
  await fc.assert(
    fc.asyncProperty(searches, async (expression) => {
      const scope: SearchScope = { visible, audit: false };
      const expected = all.rows.filter((found) => found.table !== 'audit' && mine.has(found.row.session) && finds(expression, found, all));
      const { rows } = await fixture.store.searchRows({ expression, scope, limit: 1000 });
      expect(rows.map(idOf).sort()).toEqual(expected.map(idOf).sort());
      const overview = await fixture.store.searchOverview({ expression, scope });
      expect(overview.total).toBe(expected.length);
      const groups = await fixture.store.searchBySession({ expression, scope, limit: 100, each: 1 });
      expect(groups.rows.every(({ session }) => mine.has(session))).toBe(true);
      for (const { value } of overview.facets.node) expect(expected.some(({ row }) => row.node === value)).toBe(true);
    }),
    { numRuns: 8 * times },
  );
}, 300_000);

test('a search that the engine cannot compile is refused', async () => {
  const expression = parseSearch('/(/', 0);
  await expect(fixture.store.searchRows({ expression, scope: everything, limit: 10 })).rejects.toMatchObject({ code: 'BAD_REQUEST' });
});

test('every kind can be searched for', async () => {
  for (const kind of eventKinds)
    await fixture.store.searchRows({ expression: parseSearch(`kind:${kind}`, 0), scope: everything, limit: 1 });
});

test('signals are found only by searches that name a tier, a rule or a technique', async () => {
  const row = exampleFindingRow({
    id: 'signal',
    session: exampleSession(1),
    rule: 'steno/tagged',
    techniques: ['T1105'],
    data: JSON.stringify({ title: 'onlytagged', tier: 'signal' }),
  });
  await fixture.store.insert('findings', [row], 'signal');
  const found = async (q: string): Promise<number> =>
    (await fixture.store.searchRows({ expression: parseSearch(`kind:finding ${q}`, 0), scope: everything, limit: 10 })).rows.filter(
      (one) => one.table === 'findings' && one.row.id === 'signal',
    ).length;
  expect(
    await Promise.all(
      [
        'onlytagged',
        'onlytagged tier:signal',
        'rule:steno/tagged',
        'technique:T1105',
        'onlytagged -tier:signal',
        'tier:alert onlytagged',
      ].map(found),
    ),
  ).toEqual([0, 1, 1, 1, 0, 0]);
});

test('rows that are stored many times are found once and do not hide others', async () => {
  const session = exampleSession(900);
  const rows = Array.from({ length: 10 }, (_, index) => exampleScreenRow({ session, index, at: exampleStart + index, text: 'manyfold' }));
  for (let time = 0; time < 5; time += 1) await fixture.store.insert('screen', rows, `manyfold ${time}`);
  const found: number[] = [];
  let cursor: string | undefined;
  do {
    const page = await fixture.store.searchRows({ expression: parseSearch('manyfold', 0), scope: everything, limit: 3, cursor });
    found.push(...page.rows.map(({ row }) => (row as { readonly index: number }).index));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined && found.length < 100);
  expect(found).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
});
