/** Formats of query answers: CSV that spreadsheets do not execute, the hashed bytes; and periods in queries. */
import { describe, expect, test } from 'vitest';
import { canonicalLines } from './canonical.js';
import { csvLines } from './csv.js';
import { asksForPeriod, withPeriod } from './period.js';

const text = (value: unknown): string => [...csvLines({ columns: [{ name: 'a', type: 'String' }], rows: [[value]] })][1]!;

describe('CSV', () => {
  test.each<[unknown, string]>([
    ['=HYPERLINK("http://x")', `"'=HYPERLINK(""http://x"")"\r\n`],
    ['+1+1', "'+1+1\r\n"],
    ['-1', '-1\r\n'],
    ['-1+1', "'-1+1\r\n"],
    ['@SUM(A1)', "'@SUM(A1)\r\n"],
    [' =1', "' =1\r\n"],
    ['\t=1', `"'\t=1"\r\n`],
    ['＝1', "'＝1\r\n"],
    ['|calc', "'|calc\r\n"],
    ['a,b', '"a,b"\r\n'],
    ['a\r\nb', '"a\\u{d}\nb"\r\n'],
    ['\u001b[31m\u202egnp', '\\u{1b}[31m\\u{202e}gnp\r\n'],
    [null, '\r\n'],
    [-5, '-5\r\n'],
    [['=x', 1], '"[""=x"",1]"\r\n'],
  ])('%j', (value, expected) => {
    expect(text(value)).toBe(expected);
  });

  test('column names are escaped like cells', () => {
    expect([
      ...csvLines({
        columns: [
          { name: '=a', type: 'String' },
          { name: 'b', type: 'String' },
        ],
        rows: [],
      }),
    ]).toEqual(["'=a,b\r\n"]);
  });
});

test('the hashed bytes do not depend on the order of rows', () => {
  const columns = [{ name: 'n', type: 'UInt8' }];
  const lines = (rows: readonly (readonly unknown[])[]): string => [...canonicalLines({ columns, rows })].join('');
  expect(lines([[2], [10], ['é']])).toBe('[["n","UInt8"]]\n["é"]\n[10]\n[2]\n');
  expect(lines([['é'], [2], [10]])).toBe(lines([[10], ['é'], [2]]));
});

describe('{from} and {to}', () => {
  const period = { from: Date.UTC(2026, 0, 1), to: Date.UTC(2026, 3, 1, 0, 0, 0, 5) };
  test('are replaced by moments, but not in texts, names and comments', () => {
    const sql = "SELECT '{from}', `{to}` -- {from}\n/* {to} */ WHERE at >= {from} AND at < {to}";
    expect(withPeriod(sql, period)).toBe(
      "SELECT '{from}', `{to}` -- {from}\n/* {to} */ WHERE at >= toDateTime64('2026-01-01 00:00:00.000', 3, 'UTC') AND at < toDateTime64('2026-04-01 00:00:00.005', 3, 'UTC')",
    );
  });
  test('are required only if the query uses them', () => {
    expect(["SELECT '{from}'", 'SELECT 1 -- {to}', 'SELECT {from}', "SELECT 'it''s', {to}"].map(asksForPeriod)).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });
});
