/** Users' SQL: rows hidden by a scope do not show in results, counts or errors; views match their description; samples; cancelling; the guard. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import type { Condition } from '#schemas/policy/session-condition.js';
import { sqlViews } from '#schemas/sql/views.js';
import type { EventFixture } from '../conformance.js';
import type { EventStore, SqlScope } from '../contract.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow, exampleScreenRow, exampleSession, exampleSessionRow } from '../examples.js';
import { openedChdb } from '../testing/opened.js';

const limits = { maxRows: 1000, maxSeconds: 30 };
const SHOWN = 30;
const HIDDEN = 400;

/** Visible values are numbers as text, so that an expression evaluated on a hidden value fails and is noticed. */
async function fill(store: EventStore, hidden: boolean): Promise<void> {
  const numbers = [...Array(SHOWN + HIDDEN).keys()].filter((i) => hidden || i % 14 === 0).filter((i) => i % 14 !== 0 || i < SHOWN * 14);
  const of = (i: number): { readonly user: string; readonly node: string; readonly login: string; readonly session: string } =>
    i % 14 === 0
      ? { session: exampleSession(i), user: '7', node: String(100 + (i % 5)), login: '13' }
      : { session: exampleSession(i), user: i % 3 === 0 ? '' : `hidden-${i}`, node: 'secret', login: 'zero' };
  const text = (i: number): string => (i % 14 === 0 ? String(1 + i) : `SECRET ${i}`);
  const at = (i: number): number => 1_700_000_000_000 + i * 1000;
  const size = (i: number): number => (i % 14 === 0 ? 1 : 0);
  await store.insert(
    'sessions',
    numbers.map((i) => exampleSessionRow({ ...of(i), command: text(i), started_at: at(i), bytes_out: size(i), counter: size(i) })),
    's',
  );
  await store.insert(
    'events',
    numbers.flatMap((i) =>
      [0, 1, 2].map((index) =>
        exampleEventRow({ ...of(i), index, at: at(i), kind: 'exec', name: text(i), path: text(i), address: text(i), size: size(i) }),
      ),
    ),
    'e',
  );
  await store.insert(
    'screen',
    numbers.flatMap((i) =>
      [...Array(20).keys()].map((index) => exampleScreenRow({ ...of(i), index, at: at(i), row: size(i), text: text(i) })),
    ),
    'l',
  );
  await store.insert(
    'findings',
    numbers.map((i) => exampleFindingRow({ ...of(i), id: `f${i}`, at: at(i), dedup_key: text(i), rule: i % 14 === 0 ? '5' : 'hidden' })),
    'f',
  );
  if (hidden)
    await store.insert(
      'audit',
      numbers.map((i) => exampleAuditRow({ id: `a${i}`, at: at(i), actor: 'hidden', target: 'SECRET' })),
      'a',
    );
}

const seven: Condition = { kind: 'equal', a: { kind: 'user', marked: null }, b: { kind: 'text', text: '7' } };
const scope: SqlScope = { listed: seven, viewed: seven, findings: true, audit: false };

const everything: SqlScope = { findings: true, audit: true };

/** Functions that fail, or return something else, on hidden values. */
const failing = [
  'toInt32(?)',
  'toUInt64(?)',
  "accurateCast(?, 'Int32')",
  "CAST(?, 'UInt32')",
  'toDecimal64(?, 2)',
  'intDiv(100, toInt64OrZero(?))',
  'modulo(100, toInt64OrZero(?))',
  'toFixedString(?, 4)',
  'toDateTime(toUInt32(?))',
  "toInt32(extract(?, '[0-9]+$'))",
  "length(repeat(?, intDiv(3, toUInt8(match(?, '^[0-9]+$')))))",
  'arrayElement([1, 2], toInt32(?) % 2 + 1)',
];
const tables: Readonly<Record<string, { readonly texts: readonly string[]; readonly number: string }>> = {
  sessions: { texts: ['user', 'node', 'login', 'command'], number: 'bytes_out' },
  events: { texts: ['user', 'node', 'login', 'name', 'path', 'address'], number: 'ifNull(size, 0)' },
  screen: { texts: ['user', 'node', 'login', 'text'], number: 'row' },
  screens: { texts: ['user', 'node', 'text'], number: 'row' },
  commands: { texts: ['user', 'command', 'program'], number: 'toInt32(command)' },
  findings: { texts: ['user', 'node', 'rule', 'dedup_key'], number: 'toInt32(rule)' },
};
const places = [
  'SELECT count() FROM $t WHERE $e > 0',
  "SELECT count() FROM $t WHERE $e > 0 AND node != 'x' AND session != ''",
  'SELECT count() FROM $t WHERE $e > 0 OR $f > 0',
  'SELECT sum($e) FROM $t',
  'SELECT $e AS v, count() FROM $t GROUP BY v ORDER BY v',
  'SELECT user, max($e) FROM $t GROUP BY user HAVING min($f) > 0 ORDER BY user',
  'SELECT session FROM $t ORDER BY $e, session LIMIT 3 BY session',
  'SELECT count() FROM $t AS a INNER JOIN $u AS b ON a.session = b.session WHERE $e > 0',
  'SELECT count() FROM $t AS a LEFT JOIN (SELECT session, $g AS w FROM $u) AS b ON a.session = b.session WHERE w >= 0 OR $e > 0',
  'SELECT count() FROM $t WHERE session IN (SELECT session FROM $u WHERE $g > 0)',
  'SELECT count() FROM $t WHERE $e IN (SELECT $g FROM $u)',
  'SELECT (SELECT max($g) FROM $u), count() FROM $t',
  'WITH c AS (SELECT session, $e AS v FROM $t) SELECT sum(v), uniqExact(session) FROM c WHERE v > 0',
  'SELECT sum(v) FROM (SELECT lagInFrame($e) OVER (ORDER BY session) AS v FROM $t)',
  'SELECT count() FROM (SELECT DISTINCT $e FROM $t)',
  'SELECT arraySum(groupArray($e)) FROM $t',
  'SELECT max(v) FROM $t ARRAY JOIN [$e, $f] AS v',
  'SELECT countIf($e > 0), uniq($f), any(user) FROM $t',
  'SELECT count() FROM (SELECT session FROM $t WHERE $e > 0 UNION ALL SELECT session FROM $u WHERE $g > 0)',
  'SELECT toStartOfMinute(at_or_start) AS m, sum(intDiv(10, $n)) FROM (SELECT *, now() AS at_or_start FROM $t) GROUP BY m HAVING m < toDateTime(0)',
  'SELECT sum(intDiv(10, $n)) FROM $t',
  'SELECT count() FROM $t WHERE intDiv(10, $n) = 10',
  "SELECT min(user), max(node), any(login), argMin(session, $n) FROM $t WHERE login < 'zzz'",
  'SELECT if($n = 0, $e, 1) AS v, count() FROM $t GROUP BY v ORDER BY v',
  "SELECT count() FROM $t WHERE (user, node) IN (('7', '100'), ('hidden-1', 'secret'))",
  "SELECT count() FROM $t WHERE lower(user) LIKE '%hidden%' OR $e < 0",
  'SELECT no_such_column FROM $t',
];

const query = fc
  .record({
    place: fc.constantFrom(...places),
    t: fc.constantFrom(...Object.keys(tables)),
    u: fc.constantFrom(...Object.keys(tables)),
    picks: fc.array(fc.nat(1000), { minLength: 6, maxLength: 6 }),
  })
  .map(({ place, t, u, picks }) => {
    const expression = (table: string, i: number, prefix: string): string => {
      const { texts } = tables[table]!;
      const column = `${prefix}${texts[picks[i]! % texts.length]!}`;
      return failing[picks[i + 1]! % failing.length]!.replaceAll('?', column);
    };
    const prefix = place.includes(' AS a ') ? 'a.' : '';
    return place
      .replaceAll('$t', t)
      .replaceAll('$u', u)
      .replaceAll('$e', expression(t, 0, prefix))
      .replaceAll('$f', expression(t, 2, prefix))
      .replaceAll('$g', expression(u, 4, ''))
      .replaceAll('$n', tables[t]!.number);
  });

async function outcome(store: EventStore, sql: string): Promise<unknown> {
  try {
    const { columns, rows, truncated } = await store.readOnlySql(sql, limits, scope);
    return { columns, rows, truncated };
  } catch (error) {
    if (!(error instanceof StenoError)) throw error;
    // The engine numbers temporary names while it parses a statement.
    return { code: error.code, detail: error.detail?.replaceAll(/\d{6,}/g, 'N') };
  }
}

test('hidden rows change no result and no error, for queries of every form', async () => {
  const asked = [...new Set(fc.sample(query, { numRuns: 400, seed: 11 }))];
  const answers: unknown[][] = [];
  for (const hidden of [false, true]) {
    const fixture = await openedChdb();
    try {
      await fill(fixture.store, hidden);
      const found: unknown[] = [];
      for (const sql of asked) found.push(await outcome(fixture.store, sql));
      answers.push(found);
      if (hidden) {
        const all = await fixture.store.readOnlySql('SELECT count() FROM sessions', limits);
        expect(Number(all.rows[0]![0])).toBeGreaterThan(SHOWN);
      }
    } finally {
      await fixture.store.close();
      await fixture.dispose();
    }
  }
  const different = asked.flatMap((sql, i) =>
    JSON.stringify(answers[0]![i]) === JSON.stringify(answers[1]![i]) ? [] : [[sql, answers[0]![i], answers[1]![i]]],
  );
  expect(different).toEqual([]);
  // The comparison is meaningful only if most queries succeed.
  expect(answers[0]!.filter((answer) => 'rows' in (answer as object)).length).toBeGreaterThan(asked.length / 2);
  expect(JSON.stringify(answers)).not.toMatch(/hidden-|SECRET/);
}, 600_000);

describe('without a scope', () => {
  let fixture: EventFixture;
  beforeAll(async () => {
    fixture = await openedChdb();
    await fill(fixture.store, true);
  }, 60_000);
  afterAll(async () => {
    await fixture.store.close();
    await fixture.dispose();
  });

  test.each(sqlViews.map(({ name, columns }) => [name, columns] as const))('%s has the documented columns', async (name, columns) => {
    const list = columns.map((column) => `\`${column.name}\``).join(', ');
    const { columns: found } = await fixture.store.readOnlySql(`SELECT ${list} FROM ${name} LIMIT 1`, limits, everything);
    expect(found).toEqual(columns.map((column) => ({ name: column.name, type: column.type })));
    const { columns: whole } = await fixture.store.readOnlySql(`SELECT * FROM ${name} LIMIT 1`, limits, everything);
    expect(whole.map((column) => column.name).sort()).toEqual(columns.map((column) => column.name).sort());
  });

  test('a sample depends on its seed only, and comes with the number of rows that it was drawn from', async () => {
    const sql = 'SELECT session, user FROM sessions';
    const sampled = (seed: string) => fixture.store.readOnlySql(sql, { ...limits, sample: { size: 5, seed } });
    const [a, again, b] = [await sampled("x'\\"), await sampled("x'\\"), await sampled('y')];
    expect(a.rows).toHaveLength(5);
    expect(a.columns.map(({ name }) => name)).toEqual(['session', 'user']);
    expect(again).toEqual(a);
    expect(b.rows).not.toEqual(a.rows);
    const { rows } = await fixture.store.readOnlySql('SELECT count() FROM sessions', limits);
    expect(a.population).toBe(rows[0]![0]);
    const shorter = await fixture.store.readOnlySql(`${sql} LIMIT 3`, { ...limits, sample: { size: 5, seed: 'x' } });
    expect([shorter.rows.length, shorter.population]).toEqual([3, 3]);
  });

  const endless =
    'SELECT count() FROM screen AS a, screen AS b, screen AS c, screen AS d, screen AS e WHERE a.row + b.row + c.row + d.row + e.row = 7777';

  test('a cancelled query fails with QUERY_CANCELLED at once, also while waiting; the next query runs', async () => {
    const [first, second] = [new AbortController(), new AbortController()];
    const mark = (letter: string): string => letter.repeat(32);
    const code = async (sql: string, letter: string, { signal }: AbortController): Promise<string> =>
      fixture.store.readOnlySql(sql, { maxRows: 1, maxSeconds: 300 }, undefined, { mark: mark(letter), signal }).then(
        () => 'answered',
        (error: StenoError) => error.code,
      );
    const running = code(endless, 'a', first);
    while ((await fixture.store.sqlProgress(mark('a'))) === null) await new Promise((resolve) => setTimeout(resolve, 20));
    const waiting = code('SELECT count() FROM audit', 'b', second);
    expect(await fixture.store.sqlProgress(mark('b'))).toBeNull();
    second.abort();
    first.abort();
    expect(await Promise.all([running, waiting])).toEqual(['QUERY_CANCELLED', 'QUERY_CANCELLED']);
    expect((await fixture.store.readOnlySql('SELECT count() > 0 FROM audit', limits)).rows).toEqual([[1]]);
  }, 240_000);

  test('no randomly assembled statement reaches a table, file or function that is not listed', async () => {
    const part = fc.constantFrom(
      ...[
        'SELECT',
        '*',
        '1',
        'FROM',
        'system.tables',
        "file('/etc/passwd')",
        "url('http://127.0.0.1:1/', 'TSV')",
        'sessions',
        'audit',
        ',',
      ],
      ...[
        'WHERE',
        'IN',
        '(',
        ')',
        'AS',
        'x',
        'WITH',
        ';',
        'INTO OUTFILE',
        "'/tmp/x'",
        'FORMAT',
        'SETTINGS readonly = 0',
        'UNION ALL',
        '--\n',
      ],
      ...[
        '/*',
        '*/',
        '`system`.`one`',
        'JOIN',
        'ON',
        'numbers(3)',
        'system.one',
        'schema_migrations',
        'PREWHERE',
        "dictGet('d', 'a', 1)",
        '\\',
      ],
      ...[
        "remote('127.0.0.1', system.one)",
        'EXPLAIN',
        'DESCRIBE',
        'user',
        'count()',
        'hostName()',
        "getSetting('readonly')",
        '::',
        '{a:String}',
      ],
    );
    const statement = fc.oneof(
      fc.array(part, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(' ')),
      fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => `SELECT * FROM ${parts.join(' ')}`),
      fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => `SELECT ${parts.join(', ')} FROM sessions LIMIT 1`),
    );
    const reached: unknown[] = [];
    for (const sql of fc.sample(statement, { numRuns: 500, seed: 5 })) {
      const result = await fixture.store.readOnlySql(sql, { maxRows: 5, maxSeconds: 5 }, scope).catch((error: unknown) => error);
      if (result instanceof StenoError) {
        if (!['BAD_REQUEST', 'QUERY_REFUSED', 'QUERY_TOO_HEAVY'].includes(result.code)) reached.push([sql, result.code, result.detail]);
      } else {
        const plain = sql.replaceAll(/\/\*.*?(\*\/|$)|--\n/gs, ' ').replaceAll(/'[^']*'/g, "''");
        if (/system|file\(|url\(|remote\(|numbers\(|schema_migrations|OUTFILE|hostName|getSetting|dictGet|SETTINGS/.test(plain))
          reached.push([sql, result]);
        if (/hidden|SECRET|root:/.test(JSON.stringify(result))) reached.push([sql, result]);
      }
    }
    expect(reached).toEqual([]);
  }, 300_000);
});
