/**
 * The event store on ClickHouse: embedded (chDB) or a server, the same statements for both.
 *
 * How repeats stay invisible: the engine merges rows of one identity in the background; until then
 * - sessions are read FINAL, so the highest version wins;
 * - events, screen and audit rows of one identity are equal, so they come out of an ordered read side by side and
 *   the second is left out here. That keeps the newest-first reads free to stop early, which FINAL does not.
 *
 * Tested in `clickhouse.test.ts` and by `conformance.ts`.
 */
import { StenoError } from '#schemas/errors.js';
import { sessionIdPattern } from '#schemas/rows.js';
import { KERNEL_BLOCKS } from '#schemas/kernel.js';
import type { AuditRow, EventRow, EventTable, EventTables, SessionRow } from '#schemas/rows.js';
import { columns, decodeRow, encodeRows, insertColumns, selectColumns, formatMoment } from './columns.js';
import { Conditions, decodeCursor, encodeCursor, momentCursor, placeCursor } from './conditions.js';
import { auditQuery, eventQuery, insertToken, parseQuery, screenQuery, sessionQuery, sqlLimits } from './contract.js';
import type { AuditQuery, EventQuery, EventStore, Page, ScreenHit, ScreenQuery, SessionQuery, SqlLimits, SqlResult } from './contract.js';
import { openEngine } from './engine.js';
import type { Engine, EngineOptions } from './engine.js';
import { insertError } from './failures.js';
import { migrate } from './migrate.js';
import { addSearch } from './search.js';
import { SqlGuard } from './sql.js';

/** Rows of one INSERT; the engine writes as many as this in one piece. */
const insertRows = 50_000;
/** For Steno's own reads: enough for a scan of some ten million lines, short enough not to be forgotten about. */
const readLimits = 'SETTINGS max_execution_time = 20, max_memory_usage = 2000000000';
/**
 * For newest-first reads through the text index, measured on a million lines: the dynamic filter of the engine's
 * top-N reads makes it leave the index and read the text (180 ms of CPU a search instead of 35), and past 50 lists
 * of a dictionary look-up it evaluates the index's expression for every line (380 ms instead of 100).
 */
const indexedRead = `${readLimits}, use_top_k_dynamic_filtering = 0, text_index_like_max_postings_to_read = 1000000`;

/** Opens the store and brings its schema up to date. Errors: STORE_UNAVAILABLE, STORE_NEWER, ENGINE_MISSING. */
export async function openEventStore(options: EngineOptions): Promise<EventStore> {
  const engine = await openEngine(options);
  try {
    await migrate(engine);
    return new ClickHouseEventStore(engine);
  } catch (error) {
    await engine.close();
    throw error;
  }
}

export class ClickHouseEventStore implements EventStore {
  readonly #engine: Engine;
  readonly #guard: SqlGuard;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#guard = new SqlGuard(engine);
  }

  async insert<T extends EventTable>(table: T, rows: readonly EventTables[T][], token: string): Promise<void> {
    parseQuery(insertToken, token);
    if (!Object.hasOwn(columns, table)) throw new StenoError('BAD_REQUEST', 'no such table');
    for (let from = 0; from < rows.length; from += insertRows) {
      const body = encodeRows(table, rows.slice(from, from + insertRows));
      try {
        await this.#engine.insert(table, insertColumns(table), body, `${table} ${from} ${token}`);
      } catch (error) {
        throw insertError(error);
      }
    }
  }

  async sessions(query: SessionQuery): Promise<Page<SessionRow>> {
    const { from, to, limit, cursor, request, ...filters } = parseQuery(sessionQuery, query);
    const conditions = new Conditions();
    for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
    if (request !== undefined) conditions.add("has(splitByChar(',', request_id), {request:String})", { request });
    conditions.between('started_at', from, to);
    if (cursor !== undefined) {
      const [at, session] = decodeCursor(momentCursor, cursor);
      conditions.add("(started_at, session) < ({at:DateTime64(3, 'UTC')}, {last:String})", { at: formatMoment(at), last: session });
    }
    // The engine filters after FINAL, so an older version that passes the filter cannot stand in for the newest.
    const found = await this.#engine.read(
      `SELECT ${selectColumns('sessions')} FROM sessions FINAL WHERE ${conditions.where} ` +
        `ORDER BY started_at DESC, session DESC LIMIT ${limit + 1} ${readLimits}`,
      conditions.parameters,
    );
    const rows = found.map((values) => decodeRow('sessions', values));
    return page(rows, limit, (row) => [row.started_at, row.session]);
  }

  async session(id: string): Promise<SessionRow | undefined> {
    if (!sessionIdPattern.test(id)) throw new StenoError('BAD_REQUEST', 'not a session id');
    const [values] = await this.#engine.read(
      `SELECT ${selectColumns('sessions')} FROM sessions WHERE session = {session:String} ORDER BY version DESC LIMIT 1 ${readLimits}`,
      { session: id },
    );
    return values === undefined ? undefined : decodeRow('sessions', values);
  }

  async searchScreen(query: ScreenQuery): Promise<Page<ScreenHit>> {
    const { from, to, limit, cursor, text, mode, ...filters } = parseQuery(screenQuery, query);
    const build = (): Conditions => {
      const conditions = new Conditions();
      addSearch(conditions, text, mode);
      for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
      conditions.between('at', from, to);
      return conditions;
    };
    const { rows, next } = await this.#newest('screen', build, limit, cursor);
    return { rows: rows.map(({ block: _block, index: _index, ...hit }) => hit), next };
  }

  async events(query: EventQuery): Promise<Page<EventRow>> {
    const { from, to, limit, cursor, kinds, order, source, only, after, ...filters } = parseQuery(eventQuery, query);
    const build = (): Conditions => {
      const conditions = new Conditions();
      for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
      if (kinds !== undefined) conditions.add('kind IN {kinds:Array(String)}', { kinds });
      if (source !== undefined)
        conditions.add(`block ${source === 'kernel' ? '>=' : '<'} {kernel_blocks:UInt32}`, { kernel_blocks: KERNEL_BLOCKS });
      if (only !== undefined) conditions.add("NOT (kind = 'file' AND name = 'open' AND reason IN ('read', 'read,directory'))", {});
      if (only === 'changes') conditions.add("kind != 'fork'", {});
      if (after !== undefined)
        conditions.add('(block, `index`) > ({after_block:UInt32}, {after_index:UInt32})', {
          after_block: after.block,
          after_index: after.index,
        });
      conditions.between('at', from, to);
      return conditions;
    };
    if (order === 'session' && filters.session === undefined) {
      throw new StenoError('BAD_REQUEST', 'order: only within one session');
    }
    return await this.#newest('events', build, limit, cursor, order);
  }

  async audit(query: AuditQuery): Promise<Page<AuditRow>> {
    const { from, to, limit, cursor, event, ...filters } = parseQuery(auditQuery, query);
    const build = (): Conditions => {
      const conditions = new Conditions();
      if (event?.endsWith('.') === true) conditions.add('startsWith(event, {event:String})', { event });
      else conditions.equals('event', event);
      for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
      conditions.between('at', from, to);
      return conditions;
    };
    const collected: AuditRow[] = [];
    let after = cursor === undefined ? undefined : decodeCursor(momentCursor, cursor);
    const wanted = limit + 1;
    for (;;) {
      const conditions = build();
      if (after !== undefined) {
        conditions.add("(at, id) < ({at:DateTime64(3, 'UTC')}, {last:String})", { at: formatMoment(after[0]), last: after[1] });
      }
      const found = await this.#engine.read(
        `SELECT ${selectColumns('audit')} FROM audit WHERE ${conditions.where} ORDER BY at DESC, id DESC LIMIT ${2 * wanted} ${readLimits}`,
        conditions.parameters,
      );
      for (const values of found) {
        const row = decodeRow('audit', values);
        if (collected.at(-1)?.id !== row.id) collected.push(row);
      }
      const last = collected.at(-1);
      if (found.length < 2 * wanted || collected.length >= wanted || last === undefined) break;
      after = [last.at, last.id];
    }
    return page(collected, limit, (row) => [row.at, row.id]);
  }

  async readOnlySql(sql: string, limits: SqlLimits): Promise<SqlResult> {
    return await this.#guard.run(sql, parseQuery(sqlLimits, limits));
  }

  async close(): Promise<void> {
    await this.#engine.close();
  }

  /** Reads pages of twice the rows wanted until enough different ones are found; repeats are rare. */
  async #newest<T extends 'events' | 'screen'>(
    table: T,
    build: () => Conditions,
    limit: number,
    cursor: string | undefined,
    order: 'newest' | 'session' = 'newest',
  ): Promise<Page<EventTables[T]>> {
    const newest = order === 'newest';
    const collected: EventTables[T][] = [];
    const wanted = limit + 1;
    let after = cursor === undefined ? undefined : decodeCursor(placeCursor, cursor);
    for (;;) {
      const conditions = build();
      if (after !== undefined) {
        const [at, session, block, index] = after;
        const parameters = { last_session: session, last_block: block, last_index: index };
        if (newest) {
          conditions.add(
            "(at, session, block, `index`) < ({at:DateTime64(3, 'UTC')}, {last_session:String}, {last_block:UInt32}, {last_index:UInt32})",
            { ...parameters, at: formatMoment(at) },
          );
        } else conditions.add('(session, block, `index`) > ({last_session:String}, {last_block:UInt32}, {last_index:UInt32})', parameters);
      }
      const found = await this.#engine.read(
        `SELECT ${selectColumns(table)} FROM ${table} WHERE ${conditions.where} ` +
          `ORDER BY ${newest ? 'at DESC, session DESC, block DESC, `index` DESC' : 'session, block, `index`'} LIMIT ${2 * wanted} ${indexedRead}`,
        conditions.parameters,
      );
      for (const values of found) {
        const row = decodeRow(table, values);
        const last = collected.at(-1);
        if (last === undefined || last.session !== row.session || last.block !== row.block || last.index !== row.index) collected.push(row);
      }
      const last = collected.at(-1);
      if (found.length < 2 * wanted || collected.length >= wanted || last === undefined) break;
      after = [last.at, last.session, last.block, last.index];
    }
    return page(collected, limit, (row) => [row.at, row.session, row.block, row.index]);
  }
}

function page<Row>(rows: readonly Row[], limit: number, place: (row: Row) => readonly (string | number)[]): Page<Row> {
  const last = rows[limit - 1];
  if (rows.length <= limit || last === undefined) return { rows, next: null };
  return { rows: rows.slice(0, limit), next: encodeCursor(place(last)) };
}
