/**
 * Answers of queries as CSV (RFC 4180, UTF-8, CRLF). Rows hold what recorded people typed: a cell that a spreadsheet would take for a formula
 * is led by an apostrophe, and characters that are not seen or turn the direction of text are written as `\u{...}`. NULL is an empty
 * cell; lists and maps are JSON. Tested in answers.test.ts.
 */
import type { SqlAnswer } from './canonical.js';

export function* csvLines({ columns, rows }: SqlAnswer): Generator<string> {
  yield csvRow(columns.map(({ name }) => name));
  for (const row of rows) yield csvRow(row);
}

export function csvRow(values: readonly unknown[]): string {
  return `${values.map(cell).join(',')}\r\n`;
}

/** Control characters but for line feeds and tabs, bidirectional marks and other characters that are not seen. */
const unseen =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]/g;
/** Behind blanks too: some spreadsheets trim. The wide forms of the signs count as well. */
const formula = /^\s*[=+\-@|%\t\r\uff1d\uff0b\uff0d\uff20]/;

function cell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const text = (typeof value === 'string' ? value : JSON.stringify(value)).replace(
    unseen,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
  const safe = formula.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\r\n\t]|^\s|\s$/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}
