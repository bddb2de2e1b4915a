import { describe, expect, test } from 'vitest';
import { rowValidators } from '#schemas/events/rows.js';
import { columns, decodeRow, encodeRows, formatMoment } from './columns.js';
import { exampleAuditRow, exampleEventRow, exampleFindingRow, exampleScreenRow, exampleSessionRow } from '../examples.js';

const examples = {
  sessions: exampleSessionRow(),
  events: exampleEventRow(),
  screen: exampleScreenRow(),
  audit: exampleAuditRow(),
  findings: exampleFindingRow(),
};

describe('rows', () => {
  test.each(Object.entries(examples))('%s: every field has a column, and every column a field', (table, row) => {
    expect(columns[table as keyof typeof columns].map(({ name }) => name).sort()).toEqual(Object.keys(row).sort());
  });

  test.each(Object.entries(examples))('%s: a whole row is valid, one that lacks or adds a field is not', (table, row) => {
    const validator = rowValidators[table as keyof typeof rowValidators];
    expect(validator.parse(row)).toEqual(row);
    expect(validator.safeParse({ ...row, extra: 1 }).success).toBe(false);
    for (const name of Object.keys(row)) {
      const { [name]: _, ...rest } = row as unknown as Record<string, unknown>;
      expect(validator.safeParse(rest).success, name).toBe(false);
    }
  });

  test.each([
    ['sessions', { session: '01JD0000000000000000000000' }],
    ['sessions', { session: 'x' }],
    ['sessions', { cols: 65_536 }],
    ['sessions', { version: -1 }],
    ['sessions', { version: 2 ** 53 }],
    ['sessions', { started_at: 0.5 }],
    ['sessions', { kind: 'telnet' }],
    ['sessions', { certificate_serial: '1e3' }],
    ['sessions', { certificate_serial: '18446744073709551616' }],
    ['sessions', { chain_head: 'AB'.repeat(32) }],
    ['events', { data: '[]' }],
    ['events', { data: 'no' }],
    ['events', { sha256: 'ab' }],
    ['events', { port: 65_536 }],
    ['screen', { text: 'x'.repeat(65_537) }],
    ['screen', { at: Number.MAX_SAFE_INTEGER }],
    ['audit', { event: 'Session Start' }],
    ['audit', { outcome: 'maybe' }],
    ['audit', { code: 'lower' }],
    ['audit', { session: 'x' }],
    ['events', { source: 'somebody' }],
    ['events', { session: 'x' }],
    ['events', { kind: 'later' }],
    ['events', { raw_kind: 'No Kind' }],
    ['sessions', { labels: { a: 1 } }],
    ['findings', { severity: 'worst' }],
    ['findings', { state: 'x' }],
  ] as const)('%s refuses %j', (table, change) => {
    expect(rowValidators[table].safeParse({ ...examples[table], ...change }).success).toBe(false);
  });

  test('are written as one array per line, and no value breaks the line', () => {
    const text = encodeRows('screen', [exampleScreenRow({ text: 'a\nb\u2028c"\\' }), exampleScreenRow()]);
    const lines = text.split('\n');
    expect(lines).toHaveLength(3);
    const values = JSON.parse(lines[0]!) as unknown[];
    expect(decodeRow('screen', values).text).toBe('a\nb\u2028c"\\');
    expect(values[3]).toBe(formatMoment(examples.screen.at));
  });

  test('a moment is written to the millisecond, from the first to the last', () => {
    expect(formatMoment(0)).toBe('1970-01-01 00:00:00.000');
    expect(formatMoment(7_258_118_400_000)).toBe('2200-01-01 00:00:00.000');
    expect(formatMoment(1)).toBe('1970-01-01 00:00:00.001');
  });
});
