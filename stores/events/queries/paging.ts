/**
 * Pages of rows of which the engine may temporarily hold duplicates.
 *
 * Rows of one identity are equal, so an ordered read returns them next to each other, and the second is dropped here.
 * Newest-first reads can thus stop early, which FINAL prevents. Tested by `stores/events/conformance.ts`.
 */
import type { z } from 'zod';
import type { EventTable, EventTables } from '#schemas/events/rows.js';
import { decodeRow, formatMoment, quote, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import type { Page } from '../contract.js';
import { decodeCursor, encodeCursor } from './conditions.js';
import type { Conditions } from './conditions.js';

/** Limits of Steno's own reads: enough to scan about ten million lines, short enough to be noticed. */
const limits = 'max_execution_time = 20, max_memory_usage = 2000000000';

/** The settings of a read. `name` appears in a server's query log, so that an operator can identify the query. */
export function readSettings(name: string): string {
  return `SETTINGS log_comment = 'steno ${name}', ${limits}`;
}

/**
 * For newest-first reads through the text index, measured on a million lines: the dynamic filter of the engine's
 * top-N reads makes it leave the index and read the text (180 ms of CPU a search instead of 35), and past 50 lists
 * of a dictionary look-up it evaluates the index's expression for every line (380 ms instead of 100).
 */
export function indexedSettings(name: string): string {
  return `${readSettings(name)}, use_top_k_dynamic_filtering = 0, text_index_like_max_postings_to_read = 1000000`;
}

export function pageOf<Row>(rows: readonly Row[], limit: number, place: (row: Row) => readonly (string | number)[]): Page<Row> {
  const last = rows[limit - 1];
  if (rows.length <= limit || last === undefined) return { rows, next: null };
  return { rows: rows.slice(0, limit), next: encodeCursor(place(last)) };
}

/** Columns that identify the rows of a table, in the order of a read; `moment` is the one among them that holds the time. */
interface Order<T extends EventTable> {
  readonly table: T;
  readonly columns: readonly (keyof EventTables[T] & string)[];
  readonly descending: boolean;
  readonly settings: string;
  /** Parses the values of the columns in a cursor, with the time first whatever the order is. */
  readonly cursor: z.ZodType<readonly (string | number)[]>;
}

/** Reads pages of twice the wanted number of rows until enough distinct ones are found; duplicates are rare. */
export async function distinctPage<T extends EventTable>(
  engine: Engine,
  { table, columns, descending, settings, cursor: schema }: Order<T>,
  build: () => Conditions,
  limit: number,
  cursor: string | undefined,
): Promise<Page<EventTables[T]>> {
  type Row = EventTables[T];
  const moment = 'at' as keyof Row & string;
  const whole = columns.includes(moment) ? columns : [moment, ...columns];
  const placeOf = (row: Row): (string | number)[] => whole.map((name) => row[name] as string | number);
  const same = (a: Row, b: Row): boolean => columns.every((name) => name === moment || a[name] === b[name]);
  const collected: Row[] = [];
  const wanted = limit + 1;
  let after = cursor === undefined ? undefined : decodeCursor(schema, cursor);
  for (;;) {
    const conditions = build();
    if (after !== undefined) {
      const values = new Map(whole.map((name, i) => [name, after![i]!]));
      const parameters: Record<string, string | number> = {};
      const bound = columns.map((name) => {
        const value = values.get(name)!;
        parameters[`after_${name}`] = name === moment ? formatMoment(value as number) : value;
        return `{after_${name}:${name === moment ? "DateTime64(3, 'UTC')" : typeof value === 'number' ? 'UInt32' : 'String'}}`;
      });
      conditions.add(`(${columns.map(quote).join(', ')}) ${descending ? '<' : '>'} (${bound.join(', ')})`, parameters);
    }
    const order = columns.map((name) => `${quote(name)}${descending ? ' DESC' : ''}`).join(', ');
    const found = await engine.read(
      `SELECT ${selectColumns(table)} FROM ${table} WHERE ${conditions.where} ORDER BY ${order} LIMIT ${2 * wanted} ${settings}`,
      conditions.parameters,
    );
    for (const values of found) {
      const row = decodeRow(table, values);
      const last = collected.at(-1);
      if (last === undefined || !same(last, row)) collected.push(row);
    }
    const last = collected.at(-1);
    if (found.length < 2 * wanted || collected.length >= wanted || last === undefined) break;
    after = placeOf(last);
  }
  return pageOf(collected, limit, placeOf);
}
