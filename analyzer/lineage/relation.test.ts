/** The program of another process, in the stream and in ClickHouse: compares each row's answer on generated sessions. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { ClickHouseEventStore } from '#stores/events/clickhouse/store.js';
import { openEngine } from '#stores/events/engine/engine.js';
import type { Engine } from '#stores/events/engine/engine.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { ProcessTable } from './process-table.js';
import { eventsWithOther } from './relation.js';

const sessions = ['01m81gpp13j0br7sqn8qcecmxs', '01m81gpp13j0br7sqn8qcecmxt', ''];
const base: EventRow = {
  session: '', source: 'kernel', emitter: 'agent/a', block: 0, index: 0, at: 1_800_000_000_000, offset_ms: 0, kind: 'exec', user: '', node: 'a', login: '', ...noFacts,
}; // prettier-ignore
const pid = fc.integer({ min: 1, max: 6 });
const facts: fc.Arbitrary<Partial<EventRow>> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(pid, pid, fc.nat(20))
      .map(([of, ppid, n]) => ({ kind: 'exec' as const, path: `/bin/p${n}`, name: `p${n} x`, data: JSON.stringify({ pid: of, ppid }) })),
  },
  { weight: 4, arbitrary: fc.tuple(pid, pid).map(([of, child]) => ({ kind: 'fork' as const, data: JSON.stringify({ pid: of, child }) })) },
  { weight: 2, arbitrary: pid.map((of) => ({ kind: 'file' as const, path: '/tmp/x', data: JSON.stringify({ pid: of }) })) },
  pid.map((of) => ({ kind: 'exit' as const, data: JSON.stringify({ pid: of }) })),
  fc.constantFrom<Partial<EventRow>>(
    { kind: 'gap' },
    { kind: 'exec', data: '{"pid":2}' },
    { kind: 'fork', data: '{"pid":2}' },
    { kind: 'file', data: '{"pid":"2"}' },
    { kind: 'exec', source: 'recording', data: '{"pid":1,"ppid":2}' },
    { kind: 'file', emitter: 'agent/b', data: '{"pid":1}' },
  ),
);
const rows: readonly EventRow[] = fc
  .sample(fc.tuple(fc.constantFrom(...sessions), facts), { numRuns: 3_000, seed: 20_261_129 })
  .map(([session, some], i) => ({ ...base, session, block: Math.floor(i / 100), index: i % 100, ...some }));

const folder = mkdtempSync(join(tmpdir(), 'steno-lineage-'));
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  await migrate(engine);
  await new ClickHouseEventStore(engine).insert('events', rows, 'generated');
});
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

describe('the program of another process', () => {
  it('is the same in the stream and in ClickHouse, for every row', async () => {
    const table = new ProcessTable();
    const streamed = rows.map((row) => {
      const other = table.take(row);
      return [row.block * 100 + row.index, other?.path ?? '', other?.command ?? ''];
    });
    const found = await engine.read(
      `SELECT block * 100 + \`index\`, other_path, other_name FROM ${eventsWithOther('1')} ORDER BY block, \`index\``,
      {},
    );
    expect(found.map(([place, ...program]) => [Number(place), ...program])).toEqual(streamed);
    expect(streamed.filter(([, path]) => path !== '').length).toBeGreaterThan(500);
  });

  it('comes from the sessions that are asked for', async () => {
    const [[all] = []] = await engine.read(
      `SELECT count() FROM ${eventsWithOther(`session = '${sessions[0]!}'`)} WHERE other_path != ''`,
      {},
    );
    const table = new ProcessTable();
    expect(Number(all)).toBe(rows.filter((row) => (table.take(row)?.path ?? '') !== '' && row.session === sessions[0]).length);
  });
});
