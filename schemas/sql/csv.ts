/**
 * Answers of queries as CSV (RFC 4180, UTF-8, CRLF). Rows contain text that recorded people typed, so a cell that a spreadsheet would
 * take for a formula begins with an apostrophe, and characters that are invisible or change the direction of text are written as
 * `\u{...}`. NULL is an empty cell; lists and maps are JSON. Tested in answers.test.ts.
 */
import type { SqlAnswer } from './canonical.js';

export function* csvLines({ columns, rows }: SqlAnswer): Generator<string> {
  yield csvRow(columns.map(({ name }) => name));
  for (const row of rows) yield csvRow(row);
}

export function csvRow(values: readonly unknown[]): string {
  return `${values.map(cell).join(',')}\r\n`;
}

/** Control characters except line feeds and tabs, bidirectional marks and other invisible characters. */
const unseen =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]/g;
/** Also after blanks, because some spreadsheets trim. Includes the wide forms of the signs. */
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
