/**
 * Reads rows in the order in which they were stored, from a position on, for readers that must not miss any.
 *
 * The engine numbers inserts under the lock that makes them visible, so once a row has been read, no row with a lower number appears
 * later. A row that is stored again (a resend) has a new number and is read again. Replicated tables number each month separately
 * and assign the number before the rows are visible, so they are refused. Tested in stores/events/conformance.ts.
 *
 * A part's name contains its highest number, so the cost does not grow with the amount stored. For a part that was merged across the
 * position, its numbers are read, and the rows of one page. Each statement sees the parts of one moment.
 */
import { StenoError } from '#schemas/base/errors.js';
import { changeQuery, parseQuery } from '../contract.js';
import type { ChangeQuery, Changes, ChangeTable, StoredPosition } from '../contract.js';
import { decodeRow, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { readSettings } from './paging.js';

/** Most characters of `data` in one page; a single row can have 256 Ki. */
const PAGE_CHARACTERS = 4 << 20;
const place = '(_block_number, _block_offset)';
/** A part is named PARTITION_LOWEST_HIGHEST_LEVEL, after the numbers of its inserts. */
const behind = `toUInt64OrZero(splitByChar('_', _part)[3]) >= {after_block:UInt64} AND ${place} > ({after_block:UInt64}, {after_offset:UInt64})`;

export async function readChanges<T extends ChangeTable>(engine: Engine, query: ChangeQuery<T>): Promise<Changes<T>> {
  const { table, limit, after: asked } = parseQuery(changeQuery, query);
  const id = await idOf(engine, table);
  const after = asked?.table === id ? asked : { table: id, block: 0, offset: 0 };
  const parameters = { after_block: after.block, after_offset: after.offset };
  // First find the end of the page by numbers alone: the length of the rows decides how many fit.
  const places = await engine.read(
    `SELECT _block_number, _block_offset, length(data) FROM ${table} WHERE ${behind} ` +
      `ORDER BY _block_number, _block_offset LIMIT ${limit + 1} ${readSettings('changes_end')}`,
    parameters,
  );
  let characters = 0;
  const fitting = places.slice(0, limit).findIndex(([, , length], i) => (characters += Number(length)) > PAGE_CHARACTERS && i > 0);
  const count = fitting < 0 ? Math.min(limit, places.length) : fitting;
  const last = places[count - 1];
  if (last === undefined) return { rows: [], position: after, more: false };
  const position = { table: id, block: Number(last[0]), offset: Number(last[1]) };
  const found = await engine.read(
    `SELECT ${selectColumns(table)} FROM ${table} WHERE ${behind} AND ${place} <= ({to_block:UInt64}, {to_offset:UInt64}) ` +
      `ORDER BY _block_number, _block_offset ${readSettings('changes')}`,
    { ...parameters, to_block: position.block, to_offset: position.offset },
  );
  return { rows: found.map((values) => decodeRow(table as T, values)), position, more: places.length > count };
}

export async function changesEnd(engine: Engine, table: ChangeTable): Promise<StoredPosition> {
  const id = await idOf(engine, table);
  const [row] = await engine.read(
    'SELECT max(max_block_number) FROM system.parts WHERE database = currentDatabase() AND table = {table:String} AND active',
    { table },
  );
  return { table: id, block: Number(row?.[0] ?? 0), offset: Number.MAX_SAFE_INTEGER };
}

/** Number of rows after the position; a row that is stored several times counts each time. */
export async function countChanges(engine: Engine, table: ChangeTable, after: StoredPosition): Promise<number> {
  const isOf = after.table === (await idOf(engine, table));
  const [row] = await engine.read(`SELECT count() FROM ${table} WHERE ${behind} ${readSettings('count_changes')}`, {
    after_block: isOf ? after.block : 0,
    after_offset: isOf ? after.offset : 0,
  });
  return Number(row?.[0] ?? 0);
}

export async function readPosition(engine: Engine, name: string): Promise<string | null> {
  const [row] = await engine.read('SELECT position FROM positions FINAL WHERE name = {name:String}', { name });
  return row === undefined ? null : String(row[0]);
}

/** `version`: the highest wins, in any order of arrival. */
export async function keepPosition(engine: Engine, name: string, version: number, position: string): Promise<void> {
  await engine.insert(
    'positions',
    'name, version, position',
    `${JSON.stringify([name, version, position])}\n`,
    `position ${name} ${version}`,
  );
}

async function idOf(engine: Engine, table: ChangeTable): Promise<string> {
  if (engine.layout.cluster !== undefined)
    throw new StenoError('BAD_REQUEST', 'replicated tables keep no order in which their rows were stored');
  const [row] = await engine.read('SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = {table:String}', {
    table,
  });
  return String(row?.[0] ?? '');
}
