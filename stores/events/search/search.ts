/**
 * Searches over every table: sessions with their hits, hits newest first, and an overview of all hits.
 *
 * Each table is queried separately, so that each uses its own indexes, and a table in which nothing can match is skipped.
 * Duplicates are counted once: hits are counted by the hash of their identity, which is exact up to about ten thousand and
 * within one percent above. Tested in search.test.ts.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import type { EventTable, EventTables } from '#schemas/events/rows.js';
import type { SearchExpression } from '#schemas/search/expression.js';
import { decodeRow, formatMoment, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery } from '../contract.js';
import type { Page } from '../contract.js';
import { Conditions, decodeCursor } from '../queries/conditions.js';
import { indexedSettings, pageOf } from '../queries/paging.js';
import { addVisible } from '../queries/visible.js';
import type {
  Counted,
  FoundRow,
  FoundSession,
  SearchHits,
  SearchOverview,
  SearchOverviewQuery,
  SearchScope,
  SearchSessions,
  SearchValues,
} from '../search-contract.js';
import { MAX_HISTOGRAM, searchHits, searchOverviewQuery, searchSessions, searchValues } from '../search-contract.js';
import { searchTables } from './tables.js';
import type { SearchTable } from './tables.js';
import { NO_SIGNALS, writeSearch } from './write-search.js';

/** The rows of a table that a search may find. Undefined: none can. */
function conditionsOf(table: SearchTable, expression: SearchExpression, scope: SearchScope): Conditions | undefined {
  if (table.name === 'audit' && !scope.audit) return undefined;
  const conditions = new Conditions();
  const written = writeSearch(expression, table, conditions.bind);
  if (written === false) return undefined;
  if (written !== true) conditions.add(written, {});
  if (table.name === 'findings' && !namesSignals(expression)) conditions.add(NO_SIGNALS, {});
  if (table.name === 'audit') return conditions;
  if (scope.user !== undefined) conditions.add(`user = ${conditions.bind(scope.user)}`, {});
  // Rows without a session are for users who may see everything.
  if (scope.user !== undefined || scope.visible !== undefined) conditions.add("session != ''", {});
  addVisible(conditions, table.name, scope.visible);
  return conditions;
}

/** Signals tag ordinary behaviour, so they are found only when named explicitly. */
function namesSignals(expression: SearchExpression): boolean {
  switch (expression.kind) {
    case 'all':
    case 'any':
      return expression.of.some(namesSignals);
    case 'not':
      return namesSignals(expression.of);
    case 'text':
      return false;
    case 'field':
      return expression.field === 'tier' || expression.field === 'rule' || expression.field === 'technique';
  }
}

const tablesAsked = (expression: SearchExpression, scope: SearchScope) =>
  searchTables.flatMap((table) => {
    const conditions = conditionsOf(table, expression, scope);
    return conditions === undefined ? [] : [{ table, conditions }];
  });

const sessionCursor = z.tuple([z.int().min(0).max(7_258_118_400_000), z.string().max(64)]);

/** Sessions with hits, the one with the newest hit first. Rows without a session are grouped under `''`. */
export async function searchBySession(engine: Engine, query: SearchSessions): Promise<Page<FoundSession>> {
  const { expression, scope, limit, each, cursor } = parseQuery(searchSessions, query);
  const union = unionOf(
    tablesAsked(expression, scope),
    ({ moment, identity }) => `session, ${moment} AS moment, ${identityHash(identity)} AS id`,
  );
  if (union === undefined) return { rows: [], next: null };
  const after = cursor === undefined ? undefined : decodeCursor(sessionCursor, cursor);
  const having = after === undefined ? '' : `HAVING (last, session) < (toDateTime64({after_at:String}, 3, 'UTC'), {after_session:String}) `;
  const found = await engine.read(
    `SELECT session, uniqCombined64(id), toUnixTimestamp64Milli(max(moment) AS last), toUnixTimestamp64Milli(min(moment)) FROM (${union.sql}) ` +
      `GROUP BY session ${having}ORDER BY last DESC, session DESC LIMIT ${limit + 1} ${indexedSettings('search_sessions')}`,
    { ...union.parameters, ...(after === undefined ? {} : { after_at: formatMoment(after[0]), after_session: after[1] }) },
  );
  const rows = found.map(([session, count, last, first]) => ({
    session: String(session),
    count: Number(count),
    last_at: Number(last),
    first_at: Number(first),
  }));
  const page = pageOf(rows, limit, ({ last_at: last, session }) => [last, session]);
  const hits = await newestOfEach(
    engine,
    expression,
    scope,
    page.rows.map(({ session }) => session),
    each,
  );
  return { rows: page.rows.map((row) => ({ ...row, hits: hits.get(row.session) ?? [] })), next: page.next };
}

async function newestOfEach(
  engine: Engine,
  expression: SearchExpression,
  scope: SearchScope,
  sessions: readonly string[],
  each: number,
): Promise<ReadonlyMap<string, readonly FoundRow[]>> {
  const found: Map<string, FoundRow[]>[] = [];
  if (sessions.length > 0 && each > 0)
    for (const { table, conditions } of tablesAsked(expression, scope)) {
      conditions.add('session IN {sessions:Array(String)}', { sessions });
      const ofTable = new Map<string, FoundRow[]>();
      for (const one of await readRows(engine, table, conditions, `LIMIT ${each} BY session`))
        ofTable.set(one.row.session, [...(ofTable.get(one.row.session) ?? []), one]);
      found.push(ofTable);
    }
  return new Map(
    sessions.map((session) => [
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

/** Returns the hits, newest first. */
export async function searchRows(engine: Engine, query: SearchHits): Promise<Page<FoundRow>> {
  const { expression, scope, limit, cursor } = parseQuery(searchHits, query);
  const after = cursor === undefined ? undefined : decodeCursor(hitCursor, cursor);
  const rows: FoundRow[] = [];
  for (const { table, conditions } of tablesAsked(expression, scope)) {
    if (after !== undefined) addAfter(conditions, table, after);
    rows.push(...(await readNewest(engine, table, conditions, limit + 1)));
  }
  rows.sort(byMoment);
  return pageOf(rows, limit, ({ table, row }) => [momentOf(table, row), rankOf(table), identityOf(table, row)] as never);
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
 * The newest rows. To drop repeats, the engine would sort everything that it found, including texts. Instead it returns twice as many
 * rows, selected by time alone, and repeats, which are rare, are dropped here.
 */
async function readNewest(engine: Engine, table: SearchTable, conditions: Conditions, count: number): Promise<FoundRow[]> {
  if (table.final) return readRows(engine, table, conditions, `LIMIT ${count}`);
  const { source } = newestFirst(table, conditions);
  const rows = decoded(table, await engine.read(`${source}LIMIT ${2 * count} ${indexedSettings('search_hits')}`, conditions.parameters));
  const place = ({ row }: FoundRow): string => JSON.stringify([momentOf(table.name, row), ...identityOf(table.name, row)]);
  const different = rows.filter((one, i) => i === 0 || place(one) !== place(rows[i - 1]!));
  // With this many repeats, some of the wanted rows may not have been read.
  if (different.length < count && rows.length === 2 * count) return readRows(engine, table, conditions, `LIMIT ${count}`);
  return different.slice(0, count);
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

const facetNames = ['user', 'node', 'login', 'kind'] as const;
const FACET_VALUES = 12;

/** Counts all hits by time, and by user, node, login and kind. */
export async function searchOverview(engine: Engine, query: SearchOverviewQuery): Promise<SearchOverview> {
  const { expression, scope } = parseQuery(searchOverviewQuery, query);
  const asked = tablesAsked(expression, scope);
  const union = unionOf(
    asked,
    ({ name, moment, identity, kind }) =>
      `${moment} AS moment, ${identityHash(identity)} AS id, ${name === 'audit' ? 'actor' : 'user'} AS who, node, login, ` +
      `${kind === null ? 'toString(kind)' : `'${kind}'`} AS what, session`,
  );
  const empty = { total: 0, sessions: 0, step_ms: 1, histogram: [], facets: { user: [], node: [], login: [], kind: [] } };
  if (union === undefined) return empty;
  const [bounds] = await engine.read(
    `SELECT uniqCombined64(id), uniqCombined64If(session, session != ''), toUnixTimestamp64Milli(min(moment)), toUnixTimestamp64Milli(max(moment)) ` +
      `FROM (${union.sql}) ${indexedSettings('search_bounds')}`,
    union.parameters,
  );
  const [total, sessions, first, last] = (bounds ?? []).map(Number);
  if (total === undefined || total === 0) return empty;
  const step = stepOf(first!, last!);
  const facets = facetNames.map((name) => `facet_${name}`);
  const sets = [...facets.map((name) => `(${name})`), '(bucket)'].join(', ');
  const found = await engine.read(
    `SELECT grouping(${[...facets, 'bucket'].join(', ')}) AS which, ${facets.map((name) => `toString(${name})`).join(', ')}, bucket, uniqCombined64(id) AS hits ` +
      `FROM (SELECT id, toString(who) AS facet_user, toString(node) AS facet_node, toString(login) AS facet_login, what AS facet_kind, ` +
      `intDiv(toUnixTimestamp64Milli(moment), ${step}) AS bucket FROM (${union.sql})) GROUP BY GROUPING SETS (${sets}) ` +
      `ORDER BY which, hits DESC, ${[...facets, 'bucket'].join(', ')} LIMIT ${MAX_HISTOGRAM + 4} BY which ${indexedSettings('search_overview')}`,
    union.parameters,
  );
  const histogram: { at: number; count: number }[] = [];
  const counted: Record<string, { value: string; count: number }[]> = Object.fromEntries(facetNames.map((name) => [name, []]));
  for (const [which, ...values] of found) {
    // grouping() sets a bit for each expression that is not in the set; the first is the highest.
    const of = facets.findIndex((_, i) => ((Number(which) >> (facets.length - i)) & 1) === 0);
    const count = Number(values.at(-1));
    if (of < 0) histogram.push({ at: Number(values.at(-2)) * step, count });
    else if (String(values[of]) !== '' && counted[facetNames[of]!]!.length < FACET_VALUES)
      counted[facetNames[of]!]!.push({ value: String(values[of]), count });
  }
  histogram.sort((a, b) => a.at - b.at);
  return { total, sessions: sessions ?? 0, step_ms: step, histogram, facets: counted as unknown as SearchOverview['facets'] };
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

const steps = [1e3, 5e3, 15e3, 60e3, 300e3, 900e3, 3.6e6, 10.8e6, 43.2e6, 86.4e6, 7 * 86.4e6, 28 * 86.4e6, 364 * 86.4e6] as const;

/** The finest step that does not exceed the number of bars. */
function stepOf(first: number, last: number): number {
  return steps.find((step) => Math.floor(last / step) - Math.floor(first / step) < MAX_HISTOGRAM) ?? steps.at(-1)!;
}

function unionOf(
  asked: readonly { readonly table: SearchTable; readonly conditions: Conditions }[],
  columns: (table: SearchTable) => string,
): { readonly sql: string; readonly parameters: Conditions['parameters'] } | undefined {
  if (asked.length === 0) return undefined;
  const parameters: Record<string, string | number | readonly string[]> = {};
  const parts = asked.map(({ table, conditions }, i) => {
    const renamed = conditions.renamed(`t${i}_`);
    Object.assign(parameters, renamed.parameters);
    return `SELECT ${columns(table)} FROM ${table.name}${table.final ? ' FINAL' : ''} WHERE ${renamed.where}`;
  });
  return { sql: parts.join(' UNION ALL '), parameters };
}

function identityHash(identity: readonly string[]): string {
  return `cityHash64(${identity.join(', ')})`;
}

function rankOf(table: EventTable): number {
  return searchTables.findIndex(({ name }) => name === table);
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
