/**
 * Each table's columns: the encoding of rows in the engine's text format, and back.
 *
 * JSONCompactEachRow, one array per line. Through the in-process engine it inserts as fast as TabSeparated (10 us per row,
 * mostly in the engine), and JSON needs no escaping of our own. Binary formats cannot pass through the in-process
 * connection, which carries text. Tested in `rows.test.ts` and by `stores/events/conformance.ts`.
 */
import { rowValidators } from '#schemas/events/rows.js';
import type { EventTable, EventTables } from '#schemas/events/rows.js';

type Value = string | number | boolean | null | readonly string[] | Readonly<Record<string, string>>;

interface Column {
  readonly name: string;
  /** Stored as DateTime64(3, 'UTC'), represented as integer milliseconds. */
  readonly moment: boolean;
  /** Read as text: a u64 that does not fit a JavaScript number. */
  readonly text: boolean;
}

const moments: ReadonlySet<string> = new Set(['at', 'started_at', 'ended_at']);
const texts: ReadonlySet<string> = new Set(['certificate_serial']);

/** The fields of each row, in the order of its validator, which is the only list of them. */
export const columns = Object.fromEntries(
  Object.entries(rowValidators).map(([table, { shape }]) => [
    table,
    Object.keys(shape).map((name): Column => ({ name, moment: moments.has(name), text: texts.has(name) })),
  ]),
) as unknown as { readonly [T in EventTable]: readonly Column[] };

/** The column list of an INSERT, quoted: `index` is also a keyword. */
export function insertColumns(table: EventTable): string {
  return columns[table].map(({ name }) => quote(name)).join(', ');
}

/** The SELECT expressions that return a row's fields. Names are unique, so they need no table prefix. */
export function selectColumns(table: EventTable): string {
  return columns[table]
    .map((column) => {
      if (column.moment) return `toUnixTimestamp64Milli(${quote(column.name)}) AS ${quote(`${column.name}_ms`)}`;
      if (column.text) return `toString(${quote(column.name)}) AS ${quote(`${column.name}_text`)}`;
      return quote(column.name);
    })
    .join(', ');
}

/** One line for each row. */
export function encodeRows<T extends EventTable>(table: T, rows: readonly EventTables[T][]): string {
  const list = columns[table];
  const lines: string[] = [];
  // One list is reused for all rows, because this runs for every stored row.
  const values = Array.from(list, (): Value => null);
  for (const row of rows) {
    const fields = row as unknown as Readonly<Record<string, Value>>;
    for (let i = 0; i < list.length; i += 1) values[i] = encodeValue(fields[list[i]!.name], list[i]!.moment);
    const line = JSON.stringify(values);
    // JSON escapes only lone surrogates; searching the line for the escape is far cheaper than checking every text.
    lines.push(line.includes('\\ud') ? JSON.stringify(values.map(repaired)) : line, '\n');
  }
  return lines.join('');
}

/** The inverse of `encodeRows` for values returned by the engine, in column order. */
export function decodeRow<T extends EventTable>(table: T, values: readonly unknown[]): EventTables[T] {
  const row: Record<string, unknown> = {};
  for (const [i, { name }] of columns[table].entries()) row[name] = values[i];
  return row as unknown as EventTables[T];
}

function encodeValue(value: Value | undefined, moment: boolean): Value {
  if (value === undefined) throw new TypeError('a row lacks a column');
  if (moment && typeof value === 'number') return formatMoment(value);
  return value;
}

/** Replaces lone surrogates: the engine refuses their escapes, and with them the whole batch. */
function repaired(value: Value): Value {
  if (typeof value === 'string') return wellFormed(value);
  if (isList(value)) return value.map(wellFormed);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, text]) => [wellFormed(key), wellFormed(text)]));
  return value;
}

const isList = (value: Value): value is readonly string[] => Array.isArray(value);

const loneSurrogate = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

function wellFormed(text: string): string {
  return text.replace(loneSurrogate, '\uFFFD');
}

/** Caches the last moment: a busy node sends many rows per millisecond. */
let lastMoment = 0;
let lastMomentText = '1970-01-01 00:00:00.000';

/** `2026-01-31 23:59:59.999`, the text of a DateTime64(3, 'UTC'). */
export function formatMoment(ms: number): string {
  if (ms === lastMoment) return lastMomentText;
  const iso = new Date(ms).toISOString();
  lastMomentText = `${iso.slice(0, 10)} ${iso.slice(11, 23)}`;
  lastMoment = ms;
  return lastMomentText;
}

export function quote(name: string): string {
  return `\`${name}\``;
}
