/** `steno sql` on a whole Steno: sessions over real ssh, queries in every format, samples, the packs, the audit log, Ctrl-C. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PackQuery } from '#schemas/api/recordings/sql.js';
import { canonicalLines } from '#schemas/sql/canonical.js';
import { viewerOf } from './client-tools.js';
import { Steno, bin, eventually } from './machine.js';

const steno = new Steno();
const word = `probe${process.pid}`;
interface Answer {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
  readonly hash: string;
  readonly sample: { readonly seed: string; readonly population: number } | null;
}

beforeAll(async () => {
  await steno.start();
  await steno.json('login', '--data', steno.data);
  for (const n of [1, 2, 3]) await steno.ssh(`${steno.login}@local.steno`, `echo '=${word}' ${n}`);
  await eventually(
    () => steno.json<Answer>('sql', `SELECT count() FROM sessions WHERE position(command, '${word}') > 0 AND state = 'sealed'`),
    ({ rows }) => rows[0]![0] === 3,
  );
});
afterAll(() => steno.dispose());

describe('steno sql', () => {
  const commands = `SELECT command, exit_code, started_at FROM sessions WHERE position(command, '${word}') > 0 ORDER BY started_at`;

  test('prints rows as a table, with their number and hash on standard error', async () => {
    const { status, stdout, stderr } = await steno.steno('sql', commands);
    expect(status).toBe(0);
    expect(stdout.split('\n')[0]).toMatch(new RegExp(`^echo '=${word}' 1 +0  20\\d\\d-`));
    expect(stderr).toMatch(/^3 rows, \d+ ms\nsha256 [0-9a-f]{64}\n$/);
  });

  test('the hash can be computed from the output of --json, and is in the audit log with the query', async () => {
    const { columns, rows, hash } = await steno.json<Answer>('sql', commands);
    expect(
      createHash('sha256')
        .update([...canonicalLines({ columns, rows })].join(''))
        .digest('hex'),
    ).toBe(hash);
    const told = await eventually(
      () => viewerOf(steno).audit({ event: 'recording.query' }),
      (all) => all.some(({ data }) => data.includes(hash)),
    );
    expect(JSON.parse(told.find(({ data }) => data.includes(hash))!.data)).toMatchObject({ sql: commands, rows: 3, hash });
  });

  test('writes files: CSV without formulas, JSON, Parquet', async () => {
    const file = (name: string): string => join(steno.folder, name);
    const text = `SELECT substring(command, 7, 1) || '1+1' AS cell FROM sessions WHERE position(command, '${word}') > 0 LIMIT 1`;
    expect((await steno.steno('sql', text, '-o', file('a.csv'))).status).toBe(0);
    expect(readFileSync(file('a.csv'), 'utf8')).toBe("cell\r\n'=1+1\r\n");
    await steno.steno('sql', commands, '-o', file('a.json'));
    expect(JSON.parse(readFileSync(file('a.json'), 'utf8'))).toMatchObject([{ exit_code: 0 }, {}, {}]);
    await steno.steno('sql', commands, '--format', 'parquet', '-o', file('a.parquet'));
    expect(readFileSync(file('a.parquet')).subarray(0, 4).toString()).toBe('PAR1');
  });

  test('picks the same sample for the same seed, and the query contains the period', async () => {
    const query = 'SELECT session FROM sessions WHERE started_at >= {from} AND started_at < {to}';
    writeFileSync(join(steno.folder, 'q.sql'), query);
    const sampled = () => steno.json<Answer>('sql', '--file', join(steno.folder, 'q.sql'), '--from', '1d', '--sample', '2', '--seed', 's');
    const [a, b] = [await sampled(), await sampled()];
    expect(a.rows).toEqual(b.rows);
    expect([a.rows.length, a.sample]).toEqual([2, { size: 2, seed: 's', population: 3 }]);
    expect((await steno.steno('sql', query, '--from', '2000-01-01', '--to', '2000-02-01')).status).toBe(1);
  });

  test('saves a query under a name without its period, and runs it for another period', async () => {
    const sql = `SELECT count() AS n FROM sessions WHERE started_at >= {from} AND position(command, '${word}') > 0`;
    const saved = await steno.json<{ id: string; query: string }>('sql', '--save', 'probes', '--share', sql);
    expect(saved).toMatchObject({ language: 'sql', query: sql, shared: true, every_ms: null });
    expect((await steno.json<Answer>('sql', '--saved', 'probes', '--from', '1d')).rows).toEqual([[3]]);
    expect((await steno.json<Answer>('sql', '--saved', saved.id, '--from', '2000-01-01', '--to', '2100-01-01')).rows).toEqual([[3]]);
    expect((await steno.steno('sql', '--saved', 'probes', '--show')).stdout).toContain('{from}');
    const listed = await steno.steno('searches', 'ls');
    expect(listed.stdout).toMatch(/probes +\S+, shared +sql/);
    for (const [arguments_, says] of [
      [['searches', 'run', 'probes'], 'steno sql --saved'],
      [['sql', '--saved', 'nothing'], '[NOT_FOUND]'],
      [['sql', '--saved', 'probes', 'SELECT 1'], '[USAGE]'],
      [['sql', '--share', 'SELECT 1'], '[USAGE]'],
      [['sql', '--save', 'packs', '--pack', 'cc6.1'], '[USAGE]'],
    ] as const)
      expect((await steno.steno(...arguments_)).stderr, arguments_.join(' ')).toContain(says);
    expect((await steno.steno('searches', 'rm', 'probes')).status).toBe(0);
  });

  test('runs the queries that come with Steno', async () => {
    const packs = await steno.json<PackQuery[]>('sql', '--packs');
    expect(packs.map(({ id }) => id)).toContain('cc7.2-coverage');
    const coverage = await steno.json<Answer>('sql', '--pack', 'cc7.2-coverage');
    expect(coverage.rows[0]![coverage.columns.findIndex(({ name }) => name === 'missing')]).toBe(0);
    const several = await steno.steno('sql', '--pack', 'CC6.3');
    expect(several.stderr).toContain('cc6.3-approvals');
    expect((await steno.steno('sql', '--show', '--pack', 'cc6.3-approvals')).stdout).toContain('self_approved is to be 0');
  });

  test('reports refusals, and the place of an error in a query', async () => {
    expect(await steno.steno('sql', "SELECT * FROM file('/etc/passwd')")).toMatchObject({
      status: 64,
      stderr: expect.stringContaining('QUERY_REFUSED'),
    });
    expect((await steno.steno('sql', 'SELECT nothing FROM sessions')).stderr).toContain('nothing');
    expect((await steno.steno('sql')).status).toBe(64);
  });

  test('Ctrl-C cancels it in the engine', async () => {
    const numbers = 'WITH n AS (SELECT arrayJoin(range(30000)) AS i FROM (SELECT session FROM sessions LIMIT 1))';
    const endless = `${numbers} SELECT count() FROM n AS a, n AS b, n AS c, n AS d WHERE a.i + b.i + c.i + d.i = 77777777`;
    const terminal = steno.terminal('node', [bin, 'sql', endless, '--timeout', '300'], { cols: 100, rows: 30 });
    await terminal.until(/Ctrl-C cancels/);
    terminal.write('\u0003');
    expect(await terminal.ended).toBe(130);
    const told = await eventually(
      () => viewerOf(steno).audit({ event: 'recording.query', outcome: 'failure' }),
      (all) => all.some(({ code }) => code === 'QUERY_CANCELLED'),
    );
    expect(told).not.toEqual([]);
    expect((await steno.steno('sql', 'SELECT count() FROM sessions')).status).toBe(0);
  });
});
