/**
 * Rows in the order in which they were stored, from a position on: for readers that must miss none.
 *
 * The engine numbers inserts one after the other under the lock by which they become visible, so a row with a lower number than one that
 * was read does not appear later. A row that is stored again (a resend) has a new number and is read again. Replicated tables number each
 * month by itself, and give the number before the rows are visible: they are refused. Tested in stores/events/conformance.ts.
 *
 * The name of a part says the highest number in it, so that looking costs the same however much is stored. Of a part that was merged across
 * the position, the numbers are read, and the rows of one page. Each statement sees the parts of one moment.
 */
import { StenoError } from '#schemas/base/errors.js';
import { changeQuery, parseQuery } from '../contract.js';
import type { ChangeQuery, Changes, ChangeTable, StoredPosition } from '../contract.js';
import { decodeRow, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { readSettings } from './paging.js';

/** Characters of `data` of one page: a row's alone can have 256 Ki. */
const PAGE_CHARACTERS = 4 << 20;
const place = '(_block_number, _block_offset)';
/** A part is called PARTITION_LOWEST_HIGHEST_LEVEL, after the numbers of its inserts. */
const behind = `toUInt64OrZero(splitByChar('_', _part)[3]) >= {after_block:UInt64} AND ${place} > ({after_block:UInt64}, {after_offset:UInt64})`;

export async function readChanges<T extends ChangeTable>(engine: Engine, query: ChangeQuery<T>): Promise<Changes<T>> {
  const { table, limit, after: asked } = parseQuery(changeQuery, query);
  const id = await idOf(engine, table);
  const after = asked?.table === id ? asked : { table: id, block: 0, offset: 0 };
  const parameters = { after_block: after.block, after_offset: after.offset };
  // The end of the page first, by numbers alone: how long its rows are decides how many they are.
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

/** How many rows there are beyond; those that are stored more than once count as often. */
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

/** `version`: the highest wins, whatever the order of arrival. */
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
