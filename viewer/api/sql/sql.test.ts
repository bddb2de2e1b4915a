/** SQL through the API: whose rows it reads, its audit rows, limits, cancelling, and refusals. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { ClientRequest } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SqlDone, SqlLine, SqlSchema } from '#schemas/api/recordings/sql.js';
import type { QueryDisclosure } from '#schemas/disclosure.js';
import { canonicalLines } from '#schemas/sql/canonical.js';
import { exampleAuditRow, exampleFindingRow } from '#stores/events/examples.js';
import { record } from '../testing/recorded.js';
import type { Recorded } from '../testing/recorded.js';
import { openStand } from '../testing/stand.js';
import type { Stand } from '../testing/stand.js';

let stand: Stand;
let mine: Recorded;
let theirs: Recorded;
const at = Date.UTC(2026, 4, 3, 9);
const sql = { resources: ['sql'], verbs: ['read'] };

beforeAll(async () => {
  stand = await openStand();
  const base = { state: 'sealed', lines: [[0, { code: 'o', data: 'x' }]] } as const;
  mine = await record(stand, { ...base, user: 'alice', startedAt: at, labels: { env: 'dev' }, screen: [{ text: 'mine', offset_ms: 1 }] });
  theirs = await record(stand, {
    ...base,
    user: 'bob',
    startedAt: at,
    labels: { env: 'prod' },
    screen: [{ text: 'theirs', offset_ms: 1 }],
  });
  await stand.events.insert(
    'findings',
    [mine, theirs].map(({ id }, i) => exampleFindingRow({ id: `f${i}`, session: id, user: i === 0 ? 'alice' : 'bob' })),
    'findings',
  );
  const looked = { event: 'recording.view', actor: 'ann', target: mine.id, session: mine.id };
  await stand.events.insert('audit', [exampleAuditRow({ id: 'a', at, ...looked })], 'audit');
  stand.role('auditor', { view: 'all', allow: { rules: [sql] } });
  stand.role('own', { view: 'own', allow: { rules: [sql] } });
  stand.role('lister', { allow: { rules: [sql], sessions: [{ actions: ['list'] }] } });
  stand.role('dev', {
    allow: {
      rules: [sql, { resources: ['finding', 'audit'], verbs: ['read'] }],
      sessions: [{ actions: ['list', 'view'], where: "labels.env == 'dev'" }],
    },
  });
  stand.role('blind', { allow: { rules: [sql] } });
  stand.role('denied', { view: 'all', deny: { rules: [sql] } });
});
afterAll(() => stand.close());

interface Answered {
  readonly status: number;
  readonly code: string | undefined;
  readonly rows: readonly (readonly unknown[])[];
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly done: SqlDone | undefined;
}

async function ask(word: string, query: string, more: object = {}, user = 'alice'): Promise<Answered> {
  const answer = await fetch(`${stand.url}/api/sql`, {
    method: 'POST',
    headers: { cookie: stand.signIn(user, word), 'content-type': 'application/json', origin: stand.url },
    body: JSON.stringify({ sql: query, ...more }),
  });
  const text = await answer.text();
  if (answer.status !== 200) {
    const { error } = JSON.parse(text) as { error: { code: string } };
    return { status: answer.status, code: error.code, rows: [], columns: [], done: undefined };
  }
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as SqlLine);
  const last = lines.at(-1)!;
  return {
    status: 200,
    code: last.kind === 'error' ? last.code : undefined,
    rows: lines.flatMap((line) => (line.kind === 'rows' ? line.rows : [])),
    columns: lines.flatMap((line) => (line.kind === 'columns' ? line.columns : [])),
    done: last.kind === 'done' ? last : undefined,
  };
}
const told = (): QueryDisclosure[] => stand.disclosures.flatMap((one) => (one.event === 'recording.query' ? [one] : []));

describe('whose rows it reads', () => {
  const tables = ['sessions', 'screens', 'findings', 'audit', 'viewings'];
  test.each<[string, string, readonly (readonly string[] | number)[]]>([
    ['who views all', 'auditor', [['alice', 'bob'], ['alice', 'bob'], ['alice', 'bob'], 1, 1]],
    ['who views their own: those, and no findings or audit', 'own', [['alice'], ['alice'], [], 0, 0]],
    ['who may list and no more: sessions, and nothing in them', 'lister', [['alice', 'bob'], [], [], 0, 0]],
    ['by a rule on labels, with rights to findings and audit', 'dev', [['alice'], ['alice'], ['alice'], 1, 1]],
    ['who sees no recording', 'blind', [[], [], [], 0, 0]],
  ])('%s', async (_, word, expected) => {
    for (const [i, table] of tables.entries()) {
      const users = expected[i]!;
      if (typeof users === 'number') expect((await ask(word, `SELECT count() FROM ${table}`)).rows, table).toEqual([[users]]);
      else expect((await ask(word, `SELECT DISTINCT user FROM ${table} ORDER BY user`)).rows.flat(), table).toEqual(users);
    }
  });

  test('without the right to run SQL nothing is read, and the refusal is told', async () => {
    for (const word of ['all', 'denied'])
      expect(await ask(word, 'SELECT count() FROM sessions')).toMatchObject({ status: 403, code: 'ACCESS_DENIED' });
    expect(told().at(-1)).toMatchObject({ actor: 'alice', code: 'ACCESS_DENIED', sql: 'SELECT count() FROM sessions', hash: '', rows: 0 });
    const schema = await fetch(`${stand.url}/api/sql/schema`, { headers: { cookie: stand.signIn('alice', 'all') } });
    expect(schema.status).toBe(403);
  });

  test('the schema says which views show them no rows', async () => {
    const answer = await fetch(`${stand.url}/api/sql/schema`, { headers: { cookie: stand.signIn('alice', 'lister') } });
    const { views, packs } = (await answer.json()) as SqlSchema;
    expect(views.filter(({ readable }) => readable).map(({ name }) => name)).toEqual(['sessions']);
    expect(packs.length).toBeGreaterThan(10);
  });
});

describe('an answer', () => {
  test('is told of with its hash, which anybody can compute again from the rows', async () => {
    const query = 'SELECT session, user, labels, started_at, ended_at FROM sessions';
    const { rows, columns, done } = await ask('auditor', query);
    expect(rows).toHaveLength(2);
    const hash = createHash('sha256')
      .update([...canonicalLines({ columns, rows: [...rows].reverse() })].join(''))
      .digest('hex');
    expect(done).toMatchObject({ kind: 'done', rows: 2, truncated: false, population: null, hash });
    expect(told().at(-1)).toMatchObject({
      event: 'recording.query',
      actor: 'alice',
      sql: query,
      rows: 2,
      truncated: false,
      hash,
      sample: null,
      code: null,
    });
  });

  test('is cut at the rows that were asked for, and says so', async () => {
    expect((await ask('auditor', 'SELECT session FROM sessions', { rows: 1 })).done).toMatchObject({ rows: 1, truncated: true });
  });

  test('comes in lines of bounded size', async () => {
    const { rows } = await ask('auditor', 'SELECT arrayJoin(range(2000)) AS n FROM (SELECT session FROM sessions LIMIT 1) ORDER BY n', {
      rows: 2000,
    });
    expect(rows.flat()).toEqual([...Array(2000).keys()]);
  });

  test('of a sample is the same for the seed, with the population', async () => {
    const query = 'SELECT arrayJoin(range(100)) AS n FROM (SELECT session FROM sessions LIMIT 1)';
    const sample = { size: 5, seed: '2026Q1' };
    const [a, b] = [await ask('auditor', query, { sample }), await ask('auditor', query, { sample })];
    expect(a.rows).toEqual(b.rows);
    expect(a.done).toMatchObject({ rows: 5, population: 100, hash: b.done!.hash });
    expect(told().at(-1)).toMatchObject({ sample: { ...sample, population: 100 } });
  });

  test.each<[string, string, object, string]>([
    ['a function that reads files', "SELECT file('/etc/passwd') FROM sessions", {}, 'QUERY_REFUSED'],
    ['another statement', 'DROP TABLE sessions', {}, 'BAD_REQUEST'],
    ['a column that is not there', 'SELECT nothing FROM sessions', {}, 'BAD_REQUEST'],
    ['too many rows', 'SELECT 1 FROM sessions', { rows: 100_001 }, 'BAD_REQUEST'],
    ['too long', 'SELECT 1 FROM sessions', { seconds: 301 }, 'BAD_REQUEST'],
    ['blank', '  ', {}, 'BAD_REQUEST'],
    ['too large', `SELECT '${'x'.repeat(20_000)}' FROM sessions`, {}, 'BAD_REQUEST'],
    ['a seed with a line feed', 'SELECT 1 FROM sessions', { sample: { size: 1, seed: 'a\nb' } }, 'BAD_REQUEST'],
  ])('is refused: %s', async (_, query, more, code) => {
    expect((await ask('auditor', query, more)).code).toBe(code);
  });
});

describe('a query that takes long', () => {
  const endless =
    'SELECT count() FROM screens AS a, screens AS b, numbered AS c, numbered AS d, numbered AS e WHERE a.row + b.row + c.n + d.n + e.n = 77777777';
  const long = `WITH numbered AS (SELECT arrayJoin(range(20000)) AS n FROM (SELECT session FROM sessions LIMIT 1)) ${endless}`;

  const send = (sql: string, word: string, user: string): ClientRequest => {
    const body = JSON.stringify({ sql, seconds: 300 });
    const request = httpRequest(`${stand.url}/api/sql`, {
      method: 'POST',
      headers: {
        cookie: stand.signIn(user, word),
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        origin: stand.url,
      },
    });
    request.end(body);
    return request;
  };

  /** Resolves with the first line; `gone` hangs up. */
  const begin = (word: string, user: string): Promise<{ readonly line: SqlLine; readonly gone: () => void }> =>
    new Promise((resolve, reject) => {
      const request = send(long, word, user);
      request.on('error', reject);
      request.on('response', (answer) => {
        answer.on('error', () => undefined);
        answer.setEncoding('utf8').once('data', (text: string) =>
          resolve({
            line: JSON.parse(text.split('\n')[0]!) as SqlLine,
            gone: () =>
              request
                .off('error', reject)
                .on('error', () => undefined)
                .destroy(),
          }),
        );
      });
    });
  const cancelled = async (count: number): Promise<void> => {
    while (told().filter(({ code }) => code === 'QUERY_CANCELLED').length < count) await new Promise((resolve) => setTimeout(resolve, 20));
  };

  test('says how far it is, of rows only to who sees all, and ends when its caller hangs up; a third of one person waits for none', async () => {
    const all = await begin('auditor', 'ann');
    expect(all.line).toMatchObject({ kind: 'progress', rows: expect.any(Number), of: expect.any(Number) });
    const own = await begin('own', 'ann');
    expect(own.line).toMatchObject({ kind: 'progress', rows: null, of: null });
    expect(await ask('auditor', 'SELECT 1 FROM sessions', {}, 'ann')).toMatchObject({ status: 429, code: 'TOO_MANY' });
    own.gone();
    all.gone();
    await cancelled(2);
    expect((await ask('auditor', 'SELECT count() FROM sessions', {}, 'ann')).rows).toEqual([[2]]);
  }, 240_000);

  test('is told of however it is left: between two lines, as one is written, and while it is killed', async () => {
    const before = told().filter(({ code }) => code === 'QUERY_CANCELLED').length;
    for (let i = 0; i < 6; i++) {
      const { gone } = await begin('auditor', `ann-${i}`);
      // Lines of progress come every 500 ms.
      await new Promise((resolve) => setTimeout(resolve, i * 100));
      gone();
    }
    await cancelled(before + 6);
    expect(told().filter(({ code }) => code === 'QUERY_CANCELLED').length).toBe(before + 6);
  }, 240_000);

  test('ends when its caller hangs up before the first line, and keeps none of their turns', async () => {
    // The first line comes after 500 ms; before that, the request is being read and authorized.
    for (const ms of [0, 1, 2, 5, 10, 30, 100, 300, 450]) {
      const request = send(long, 'auditor', 'eve').on('error', () => undefined);
      await once(request, 'finish');
      await new Promise((resolve) => setTimeout(resolve, ms));
      request.destroy();
    }
    // Two turns are hers: both are free only if nothing of the above runs.
    await expect
      .poll(async () =>
        (await Promise.all([1, 2].map(() => ask('auditor', 'SELECT count() FROM sessions', {}, 'eve')))).map(({ rows }) => rows),
      )
      .toEqual([[[2]], [[2]]]);
  }, 240_000);

  test('ends by its own limit', async () => {
    expect((await ask('auditor', long, { seconds: 1 })).code).toBe('QUERY_TOO_HEAVY');
  }, 240_000);
});
