/** Conformance of event stores for users' own SQL: part of `conformance.ts`. */
import { beforeAll, describe, expect, test } from 'vitest';
import type { ErrorCode } from '#schemas/base/errors.js';
import type { EventStore } from './contract.js';
import { exampleAuditRow, exampleScreenRow, exampleSession } from './examples.js';

/** Parts of `EventFixture` in conformance.ts. */
interface Fixture {
  readonly store: EventStore;
  readonly kill: (text: string) => Promise<void>;
}

export function peopleSqlConformance(opened: () => Fixture): void {
  describe('SQL of users', () => {
    const limits = { maxRows: 3, maxSeconds: 10 };
    let fixture: Fixture;
    let store: EventStore;
    beforeAll(() => {
      fixture = opened();
      store = fixture.store;
    });

    test('reads the tables without repeats, with names, types and a limit', async () => {
      const { columns, rows, truncated } = await store.readOnlySql(
        "SELECT session, version, count() OVER () AS n FROM sessions WHERE node = 'versions'",
        limits,
      );
      expect(columns.map((column) => column.name)).toEqual(['session', 'version', 'n']);
      expect(rows).toEqual([[exampleSession(20), 3, 1]]);
      expect(truncated).toBe(false);
      const more = await store.readOnlySql("SELECT index FROM screen WHERE node = 'search' ORDER BY index", limits);
      expect(more).toMatchObject({ rows: [[0], [1], [2]], truncated: true });
    });

    test('common table expressions, joins, window functions and comments are allowed', async () => {
      const { rows } = await store.readOnlySql(
        `-- who was where
         WITH busy AS (SELECT user, uniqExact(session) AS n FROM screen GROUP BY user)
         SELECT s.user, any(n), countIf(s.tty), max(toStartOfHour(s.started_at)) FROM sessions AS s INNER JOIN busy ON busy.user = s.user
         WHERE s.session IN (SELECT session FROM screen) OR s.node LIKE 'w%' GROUP BY s.user ORDER BY 1 LIMIT 2;`,
        limits,
      );
      expect(rows.length).toBeGreaterThan(0);
    });

    test.each([
      'INSERT INTO sessions VALUES (1)',
      'DROP TABLE sessions',
      'SELECT 1; DROP TABLE sessions',
      'SET readonly = 0',
      'SYSTEM SHUTDOWN',
      'TRUNCATE TABLE audit',
      'ALTER TABLE audit DELETE WHERE 1',
      'CREATE TABLE x (a Int8) ENGINE = Memory',
      'KILL QUERY WHERE 1',
      'SHOW TABLES',
      'DESCRIBE sessions',
      'EXPLAIN SELECT 1',
      'USE system',
      "BACKUP TABLE audit TO Disk('default', 'x')",
    ])('refuses anything but a SELECT: %s', async (sql) => {
      await expectRefused(store.readOnlySql(sql, limits));
    });

    test.each([
      "SELECT file('/etc/passwd')",
      "SELECT `file`('/etc/passwd')",
      "SELECT FILE('/etc/passwd')",
      "SELECT * FROM file('/etc/passwd', 'TSV', 'a String')",
      "SELECT * FROM url('http://127.0.0.1:1', 'TSV', 'a String')",
      'SELECT * FROM numbers(10)',
      "SELECT * FROM remote('127.0.0.1', system.one)",
      "SELECT * FROM merge('system', '.*')",
      "SELECT * FROM executable('id', 'TSV', 'a String')",
      'SELECT * FROM system.tables',
      'SELECT * FROM INFORMATION_SCHEMA.tables',
      'SELECT * FROM `system`.`tables`',
      'SELECT * FROM schema_migrations',
      'SELECT 1 IN schema_migrations',
      'SELECT * FROM schema_migrations, (WITH schema_migrations AS (SELECT 1 AS a) SELECT * FROM schema_migrations)',
      "SELECT 1 FROM sessions PREWHERE user = 'x'",
      "SELECT * FROM s3('http://127.0.0.1:1/x', 'TSV', 'a String')",
      "SELECT * FROM input('a String')",
      "SELECT * FROM dictionary('d')",
      'SELECT * FROM view(SELECT 1)',
      'SELECT * FROM `system.tables`',
      'SELECT 1 IN system.one',
      'SELECT * FROM sessions WHERE session IN (system.one)',
      "SELECT * APPLY(file) FROM (SELECT '/etc/passwd' AS a)",
      "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
      "SELECT 1 INTO OUTFILE '/tmp/steno-should-not-exist'",
      'SELECT 1 FORMAT JSON',
      'SELECT 1 SETTINGS max_execution_time = 0',
      'SELECT sleep(3)',
      "SELECT dictGet('d', 'a', 1)",
      "SELECT joinGet('t', 'a', 1)",
      "SELECT getSetting('readonly')",
      'SELECT hostName()',
      'SELECT version()',
      "SELECT aiGenerate('x')",
      'SELECT {a:String}',
      'SELECT 1) UNION ALL (SELECT 2',
      'SELECT 1 AS `a\n   Literal 1`',
      'SELECT * FROM (SELECT 1 AS `x) (children 1)\n Identifier y`)',
      'SELECT',
      '',
      `SELECT ${'1,'.repeat(20_000)}1`,
    ])('refuses a SELECT that reaches beyond the tables: %s', async (sql) => {
      await expectRefused(store.readOnlySql(sql, limits));
    });

    test('reports the error in a query', async () => {
      await expect(store.readOnlySql('SELECT nothing FROM sessions', limits)).rejects.toMatchObject({
        code: 'BAD_REQUEST',
        detail: /nothing/,
      });
      await expect(store.readOnlySql('SELECT file(1)', limits)).rejects.toMatchObject({ code: 'QUERY_REFUSED', detail: /file/ });
    });

    test('ends a query that takes too long or too much', async () => {
      await expectCode(
        store.readOnlySql(
          'SELECT count() FROM screen AS a, screen AS b, screen AS c, screen AS d, screen AS e WHERE a.row + b.row + c.row + d.row + e.row = 7',
          { maxRows: 1, maxSeconds: 1 },
        ),
        'QUERY_TOO_HEAVY',
      );
    });

    test('does not delay inserts, searches or other reads, however long it runs', async () => {
      const long = store.readOnlySql(
        'SELECT count() AS a_long_question FROM screen AS a, screen AS b, screen AS c, screen AS d, screen AS e, screen AS f, screen AS g WHERE a.row + b.row + c.row + d.row + e.row + f.row + g.row = 7',
        { maxRows: 1, maxSeconds: 300 },
      );
      let outcome = 'running';
      const over = long.then(
        () => (outcome = 'answered'),
        (error: Error) => (outcome = error.message),
      );
      for (let i = 0; i < 5; i += 1) {
        const row = exampleScreenRow({ session: exampleSession(130), index: i, text: `meanwhile${i}` });
        await store.insert('screen', [row], `meanwhile ${i}`);
        expect((await store.searchScreen({ text: `meanwhile${i}` })).rows).toHaveLength(1);
        expect((await store.sessions({ limit: 1 })).rows).toHaveLength(1);
      }
      // All of this happened while the long query was still running.
      expect(outcome).toBe('running');
      await fixture.kill('a_long_question');
      await over;
    }, 60_000);

    test('users who may not read the audit log see no rows of it', async () => {
      await store.insert('audit', [exampleAuditRow({ id: 'hidden' })], 'hidden');
      const count = 'SELECT count() > 0 FROM audit';
      expect((await store.readOnlySql(count, { maxRows: 1, maxSeconds: 10 })).rows).toEqual([[1]]);
      const scope = { findings: true, audit: false };
      expect((await store.readOnlySql(count, { maxRows: 1, maxSeconds: 10 }, scope)).rows).toEqual([[0]]);
    });

    test('the result after an interrupted query contains none of its rows', async () => {
      const endless =
        'SELECT count() FROM screen AS a, screen AS b, screen AS c, screen AS d, screen AS e, screen AS f WHERE a.row + b.row + c.row + d.row + e.row + f.row = 7';
      await expectCode(store.readOnlySql(endless, { maxRows: 100_000, maxSeconds: 1 }), 'QUERY_TOO_HEAVY');
      expect((await store.readOnlySql('SELECT 1 FROM screen LIMIT 1', limits)).rows).toEqual([[1]]);
    });

    test('leaves the store as it was, writable', async () => {
      await store.insert('audit', [exampleAuditRow({ id: 'after', actor: 'after' })], 'after');
      expect((await store.audit({ actor: 'after' })).rows).toHaveLength(1);
    });
  });
}

async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await expect(promise).rejects.toMatchObject({ name: 'StenoError', code });
}

async function expectRefused(promise: Promise<unknown>): Promise<void> {
  const outcome = await promise.then(
    () => 'ran',
    (error: { code?: string }) => error.code,
  );
  expect(['BAD_REQUEST', 'QUERY_REFUSED']).toContain(outcome);
}
