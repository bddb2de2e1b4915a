/** Searches over every table: sessions with their hits, and hits newest first. Tested in search.test.ts. */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import type { EventTable, EventTables } from '#schemas/events/rows.js';
import { decodeRow, formatMoment, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery } from '../contract.js';
import type { Page } from '../contract.js';
import { Conditions, decodeCursor } from '../queries/conditions.js';
import { indexedSettings, pageOf } from '../queries/paging.js';
import { addVisible } from '../queries/visible.js';
import type { Counted, FoundRow, FoundSession, SearchHits, SearchSessions, SearchValues } from '../search-contract.js';
import { searchHits, searchSessions, searchValues } from '../search-contract.js';
import { conditionsIn, identityHash, rankOf, tablesAsked, unionOf } from './asked.js';
import type { Asked, Asking } from './asked.js';
import { NEWEST_PART } from './recency.js';
import type { Recency } from './recency.js';
import { searchTables } from './tables.js';
import type { SearchTable } from './tables.js';

const sessionCursor = z.tuple([z.int().min(0).max(7_258_118_400_000), z.string().max(64)]);

interface SessionHits {
  readonly session: string;
  readonly count: number;
  readonly first_at: number;
  readonly last_at: number;
  /** Places of the tables in which it has hits. */
  readonly ranks: number;
}

/**
 * Sessions in which something was found, the one with the newest hit first. Rows of no session are together, under `''`.
 *
 * A session whose newest hit is in the newest part of the store comes before all that have none there, so if that part has a page of
 * sessions, only their own rows are counted.
 */
export async function searchBySession(engine: Engine, query: SearchSessions, recency: Recency): Promise<Page<FoundSession>> {
  const { expression, scope, limit, each, cursor } = parseQuery(searchSessions, query);
  const after = cursor === undefined ? undefined : decodeCursor(sessionCursor, cursor);
  const tables = await tablesAsked(engine, { expression, scope });
  const start = tables.some(({ large }) => large) ? await recency.start(expression, after?.[0]) : undefined;
  let rows: readonly SessionHits[] = [];
  if (start !== undefined) {
    const newest = await newestSessions(engine, conditionsIn(tables, { expression, scope, start }), limit, after);
    if (newest[limit] !== undefined && newest[limit].last_at >= start) {
      const asked = conditionsIn(tables, { expression, scope });
      const sessions = newest.map(({ session }) => session);
      for (const { conditions } of asked) conditions.add('session IN {sessions:Array(String)}', { sessions });
      rows = await newestSessions(engine, asked, limit, after);
    }
  }
  if (rows.length <= limit) rows = await newestSessions(engine, conditionsIn(tables, { expression, scope }), limit, after);
  const page = pageOf(rows, limit, ({ last_at: last, session }) => [last, session]);
  const hits = await newestOfEach(engine, tables, { expression, scope }, page.rows, each);
  return {
    rows: page.rows.map(({ ranks: _ranks, ...row }) => ({ ...row, hits: hits.get(row.session) ?? [] })),
    next: page.next,
  };
}

async function newestSessions(
  engine: Engine,
  asked: readonly Asked[],
  limit: number,
  after: z.output<typeof sessionCursor> | undefined,
): Promise<readonly SessionHits[]> {
  const union = unionOf(
    asked,
    ({ name, moment, identity }) => `session, ${moment} AS moment, ${identityHash(identity)} AS id, toUInt8(${1 << rankOf(name)}) AS rank`,
  );
  if (union === undefined) return [];
  const having = after === undefined ? '' : `HAVING (last, session) < (toDateTime64({after_at:String}, 3, 'UTC'), {after_session:String}) `;
  const found = await engine.read(
    `SELECT session, uniqCombined64(id), toUnixTimestamp64Milli(max(moment) AS last), toUnixTimestamp64Milli(min(moment)), groupBitOr(rank) FROM (${union.sql}) ` +
      `GROUP BY session ${having}ORDER BY last DESC, session DESC LIMIT ${limit + 1} ${indexedSettings('search_sessions')}`,
    { ...union.parameters, ...(after === undefined ? {} : { after_at: formatMoment(after[0]), after_session: after[1] }) },
  );
  return found.map(([session, count, last, first, ranks]) => ({
    session: String(session),
    count: Number(count),
    last_at: Number(last),
    first_at: Number(first),
    ranks: Number(ranks),
  }));
}

async function newestOfEach(
  engine: Engine,
  tables: readonly SearchTable[],
  asking: Asking,
  sessions: readonly SessionHits[],
  each: number,
): Promise<ReadonlyMap<string, readonly FoundRow[]>> {
  const found: Map<string, FoundRow[]>[] = [];
  if (each > 0)
    for (const { table, conditions } of conditionsIn(tables, asking)) {
      const own = sessions.filter(({ ranks }) => (ranks & (1 << rankOf(table.name))) !== 0).map(({ session }) => session);
      if (own.length === 0) continue;
      conditions.add('session IN {sessions:Array(String)}', { sessions: own });
      const ofTable = new Map<string, FoundRow[]>();
      for (const one of await readRows(engine, table, conditions, `LIMIT ${each} BY session`))
        ofTable.set(one.row.session, [...(ofTable.get(one.row.session) ?? []), one]);
      found.push(ofTable);
    }
  return new Map(
    sessions.map(({ session }) => [
      session,
      someOfEach(
        found.flatMap((ofTable) => [ofTable.get(session) ?? []]),
        each,
      ),
    ]),
  );
}

/** Takes the newest of every list in turn, so that a thousand files do not hide the only finding; newest first. */
function someOfEach(lists: readonly (readonly FoundRow[])[], most: number): readonly FoundRow[] {
  const taken: FoundRow[] = [];
  for (let i = 0; taken.length < most && lists.some((list) => i < list.length); i += 1)
    for (const list of lists) if (i < list.length && taken.length < most) taken.push(list[i]!);
  return taken.sort(byMoment);
}

/** Time, index of the table, and values of the identity. */
const hitCursor = z.tuple([
  z.int().min(0).max(7_258_118_400_000),
  z.int().min(0).max(searchTables.length),
  z.array(z.union([z.string().max(255), z.int()])).max(5),
]);

/**
 * Returns the hits, newest first. Of large tables the newest part is read first. If that leaves the page short, a part that should
 * suffice by what was found is read, then the rest.
 */
export async function searchRows(engine: Engine, query: SearchHits, recency: Recency): Promise<Page<FoundRow>> {
  const { expression, scope, limit, cursor } = parseQuery(searchHits, query);
  const after = cursor === undefined ? undefined : decodeCursor(hitCursor, cursor);
  const wanted = limit + 1;
  const tables = await tablesAsked(engine, { expression, scope });
  const hasLarge = tables.some(({ large }) => large);
  const found = new Map<SearchTable, readonly FoundRow[]>();
  for (let part = hasLarge ? NEWEST_PART : 1; ;) {
    const start = await recency.start(expression, after?.[0], part);
    for (const table of tables) {
      const before = found.get(table);
      // A table that has a page of rows in a newer part needs nothing of an older one.
      if (before !== undefined && (!table.large || before.length >= wanted)) continue;
      for (const { conditions } of conditionsIn([table], { expression, scope, start })) {
        if (after !== undefined) addAfter(conditions, table, after);
        found.set(table, await readNewest(engine, table, conditions, wanted));
      }
    }
    const rows = [...found.values()].flat().sort(byMoment);
    const newest = rows.filter((row) => start === undefined || momentOf(row.table, row.row) >= start).length;
    // What was not read is older than all of these.
    if (start === undefined || newest >= wanted)
      return pageOf(rows, limit, ({ table, row }) => [momentOf(table, row), rankOf(table), identityOf(table, row)] as never);
    part = part > NEWEST_PART ? 1 : (2 * part * wanted) / newest;
  }
}

function addAfter(conditions: Conditions, table: SearchTable, [at, rank, identity]: z.output<typeof hitCursor>): void {
  const moment = `toDateTime64(${conditions.bind(formatMoment(at))}, 3, 'UTC')`;
  const own = rankOf(table.name);
  if (own !== rank) return conditions.add(`${table.moment} ${own < rank ? '<' : '<='} ${moment}`, {});
  if (identity.length !== table.identity.length) throw new StenoError('BAD_REQUEST', 'not a cursor');
  const values = identity.map((value) =>
    typeof value === 'number' ? `toUInt32(${conditions.bind(String(value))})` : conditions.bind(value),
  );
  conditions.add(`(${[table.moment, ...table.identity].join(', ')}) < (${[moment, ...values].join(', ')})`, {});
}

async function readRows(engine: Engine, table: SearchTable, conditions: Conditions, limit: string): Promise<FoundRow[]> {
  const { source, places } = newestFirst(table, conditions);
  // Repeats of a row are adjacent in this order, so they are dropped before the limit is applied.
  const distinct = table.final ? '' : `LIMIT 1 BY ${places} `;
  const sql =
    limit.includes(' BY ') && !table.final
      ? `SELECT * FROM (${source}${distinct}) ${limit} ${indexedSettings('search_hits')}`
      : `${source}${distinct}${limit} ${indexedSettings('search_hits')}`;
  return decoded(table, await engine.read(sql, conditions.parameters));
}

/**
 * The newest rows. To drop repeats the engine would sort everything that was found, texts included: it is asked for rows that it picks
 * by their moment alone, and repeats, which are rare, are dropped here. Of each row all columns are read, a granule for each, so twice
 * as many are asked for only where there were repeats.
 */
async function readNewest(engine: Engine, table: SearchTable, conditions: Conditions, count: number): Promise<FoundRow[]> {
  if (table.final) return readRows(engine, table, conditions, `LIMIT ${count}`);
  const { source } = newestFirst(table, conditions);
  const place = ({ row }: FoundRow): string => JSON.stringify([momentOf(table.name, row), ...identityOf(table.name, row)]);
  for (const most of [count, 2 * count]) {
    const rows = decoded(table, await engine.read(`${source}LIMIT ${most} ${indexedSettings('search_hits')}`, conditions.parameters));
    const different = rows.filter((one, i) => i === 0 || place(one) !== place(rows[i - 1]!));
    // Fewer rows than asked for: there are no others behind them.
    if (different.length >= count || rows.length < most) return different.slice(0, count);
  }
  return readRows(engine, table, conditions, `LIMIT ${count}`);
}

function newestFirst(table: SearchTable, conditions: Conditions): { readonly source: string; readonly places: string } {
  const columns = [table.moment, ...table.identity];
  return {
    source:
      `SELECT ${selectColumns(table.name)} FROM ${table.name}${table.final ? ' FINAL' : ''} WHERE ${conditions.where} ` +
      `ORDER BY ${columns.map((name) => `${name} DESC`).join(', ')} `,
    places: columns.join(', '),
  };
}

function decoded(table: SearchTable, found: readonly (readonly unknown[])[]): FoundRow[] {
  return found.map((values) => ({ table: table.name, row: decodeRow(table.name, values) }) as FoundRow);
}

/** The most frequent values of a field in sessions, at most twenty. */
export async function searchValuesOf(engine: Engine, query: SearchValues): Promise<readonly Counted[]> {
  const { field, prefix, scope } = parseQuery(searchValues, query);
  const conditions = new Conditions();
  conditions.add(`${field} != ''`, {});
  if (prefix !== '') conditions.add(`startsWith(${field}, ${conditions.bind(prefix)})`, {});
  if (scope.user !== undefined) conditions.add(`user = ${conditions.bind(scope.user)}`, {});
  addVisible(conditions, 'sessions', scope.visible);
  const found = await engine.read(
    `SELECT ${field}, uniqCombined64(session) AS hits FROM sessions WHERE ${conditions.where} GROUP BY ${field} ` +
      `ORDER BY hits DESC, ${field} LIMIT 20 ${indexedSettings('search_values')}`,
    conditions.parameters,
  );
  return found.map(([value, count]) => ({ value: String(value), count: Number(count) }));
}

function momentOf(table: EventTable, row: EventTables[EventTable]): number {
  return table === 'sessions' ? (row as EventTables['sessions']).started_at : (row as { readonly at: number }).at;
}

function identityOf(table: EventTable, row: object): readonly (string | number)[] {
  const { identity } = searchTables[rankOf(table)]!;
  return identity.map((name) => (row as Record<string, string | number>)[name.replaceAll('`', '')]!);
}

/** Newest first; at the same time in the order of the tables, then by identity, as the engine orders them. */
function byMoment(a: FoundRow, b: FoundRow): number {
  const moments = momentOf(b.table, b.row) - momentOf(a.table, a.row);
  if (moments !== 0) return moments;
  const ranks = rankOf(a.table) - rankOf(b.table);
  if (ranks !== 0) return ranks;
  const [left, right] = [identityOf(a.table, a.row), identityOf(b.table, b.row)];
  for (const [i, value] of left.entries()) {
    const other = right[i]!;
    if (value === other) continue;
    return typeof value === 'number' ? Number(other) - value : Buffer.compare(Buffer.from(String(other)), Buffer.from(value));
  }
  return 0;
}
