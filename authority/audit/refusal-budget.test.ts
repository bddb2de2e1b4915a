import { describe, expect, test } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { auditRow as schema } from '#schemas/events/rows.js';
import { auditRow } from '../records/audit.js';
import { RefusalBudget } from './refusal-budget.js';

const caller = { actor: 'ann', source: '127.0.0.1' };

describe('an audit row', () => {
  test('is valid however long and odd what it tells of is', () => {
    const long = `\0\n${'𝒳'.repeat(10_000)}`;
    const row = auditRow(
      1,
      { actor: long, source: long },
      { event: 'node.put', target: long, node: long, login: long, data: { long: 'x' } },
      new StenoError('NODE_UNKNOWN', long),
    );
    expect(schema.parse(row)).toEqual(row);
    expect(row).toMatchObject({ outcome: 'failure', code: 'NODE_UNKNOWN' });
    for (const text of [row.actor, row.target]) expect(Buffer.from(text, 'utf8').toString('utf8')).toBe(text);
  });
});

describe('refusals', () => {
  const row = (at: number): ReturnType<typeof auditRow> => auditRow(at, caller, { event: 'node.put' }, new StenoError('NOT_SIGNED_IN'));

  test('beyond a burst are counted, and the count is told', () => {
    const budget = new RefusalBudget();
    const rows = Array.from({ length: 1000 }, () => budget.rows(row(100_000))).flat();
    expect(rows).toHaveLength(120);
    const later = budget.rows(row(160_000));
    expect(later.map(({ event }) => event)).toEqual(['audit.suppressed', 'node.put']);
    expect(JSON.parse(later[0]!.data)).toEqual({ refusals: 880 });
    expect(budget.rest(170_000)).toEqual([]);
  });

  test('left out at the end are told too', () => {
    const budget = new RefusalBudget();
    for (let i = 0; i < 121; i += 1) budget.rows(row(100_000));
    expect(budget.rest(100_001).map(({ data }) => JSON.parse(data) as unknown)).toEqual([{ refusals: 1 }]);
  });
});
