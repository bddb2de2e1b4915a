/** Events of every source, and their counts by kind. */
import { StenoError } from '#schemas/base/errors.js';
import type { EventKind, EventSource } from '#schemas/events/kinds.js';
import { eventId, sessionIdPattern } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { LIBRARIES, READING } from '#schemas/kernel/matters.js';
import { decodeRow, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { eventQuery, parseQuery } from '../contract.js';
import type { EventQuery, KindCount, Page } from '../contract.js';
import { Conditions, eventCursor } from './conditions.js';
import { distinctPage, indexedSettings, readSettings } from './paging.js';
import { addVisible } from './visible.js';

const identity = ['session', 'source', 'emitter', 'block', 'index'] as const;

export async function listEvents(engine: Engine, query: EventQuery): Promise<Page<EventRow>> {
  const { from, to, limit, cursor, kinds, order, only, after, visible, ...filters } = parseQuery(eventQuery, query);
  if (order === 'session' && (filters.session === undefined || filters.session === ''))
    throw new StenoError('BAD_REQUEST', 'order: only within one session');
  if (after !== undefined && (order !== 'session' || filters.source === undefined))
    throw new StenoError('BAD_REQUEST', 'after: only within one session and source');
  const build = (): Conditions => {
    const conditions = new Conditions();
    for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
    if (kinds !== undefined) conditions.add('kind IN {kinds:Array(String)}', { kinds });
    if (only !== undefined)
      conditions.add(
        "NOT (kind = 'file' AND ((name = 'open' AND match(reason, {reading:String}) AND NOT match(reason, {changing:String}) AND position(data, '\"matters\":') = 0) OR (name = 'map' AND match(path, {libraries:String}))))",
        { reading: READING.begins, changing: READING.without, libraries: LIBRARIES },
      );
    if (only === 'changes') conditions.add("kind != 'fork'", {});
    if (after !== undefined)
      conditions.add('(block, `index`) > ({from_block:UInt32}, {from_index:UInt32})', {
        from_block: after.block,
        from_index: after.index,
      });
    conditions.between('at', from, to);
    addVisible(conditions, 'events', visible);
    return conditions;
  };
  const newest = order === 'newest';
  return await distinctPage(
    engine,
    {
      table: 'events',
      columns: newest ? ['at', ...identity] : identity,
      descending: newest,
      settings: indexedSettings('list_events'),
      cursor: eventCursor,
    },
    build,
    limit,
    cursor,
  );
}

const eventIdPattern = /^([0-7][0-9a-hjkmnp-tv-z]{25}|):([a-z_]{1,32}):([^:]{0,255}):(\d{1,10})\.(\d{1,10})$/;
const MOST_NAMED = 100;

/** Invalid ids match nothing. */
export async function eventsNamed(engine: Engine, ids: readonly string[]): Promise<readonly EventRow[]> {
  if (ids.length > MOST_NAMED) throw new StenoError('BAD_REQUEST', `ids: at most ${MOST_NAMED}`);
  const parameters: Record<string, string | number> = {};
  const wanted = ids.flatMap((id, i) => {
    const match = eventIdPattern.exec(id);
    if (match === null || Number(match[4]) > 0xffff_ffff || Number(match[5]) > 0xffff_ffff) return [];
    Object.assign(parameters, {
      [`s${i}`]: match[1]!,
      [`o${i}`]: match[2]!,
      [`e${i}`]: match[3]!,
      [`b${i}`]: Number(match[4]),
      [`i${i}`]: Number(match[5]),
    });
    return [
      `(session = {s${i}:String} AND source = {o${i}:String} AND emitter = {e${i}:String} AND block = {b${i}:UInt32} AND \`index\` = {i${i}:UInt32})`,
    ];
  });
  if (wanted.length === 0) return [];
  const found = await engine.read(
    `SELECT ${selectColumns('events')} FROM events FINAL WHERE ${wanted.join(' OR ')} LIMIT ${MOST_NAMED} ${readSettings('events_named')}`,
    parameters,
  );
  const rows = new Map(found.map((values) => decodeRow('events', values)).map((row) => [eventId(row), row]));
  return [...new Set(ids)].flatMap((id) => rows.get(id) ?? []);
}

export async function countKinds(engine: Engine, session: string): Promise<readonly KindCount[]> {
  if (!sessionIdPattern.test(session)) throw new StenoError('BAD_REQUEST', 'not a session id');
  const found = await engine.read(
    'SELECT source, kind, raw_kind, uniqExact(emitter, block, `index`) FROM events WHERE session = {session:String} ' +
      `GROUP BY source, kind, raw_kind ORDER BY source, kind, raw_kind ${readSettings('count_kinds')}`,
    { session },
  );
  return found.map(([source, kind, raw, count]) => ({
    source: String(source) as EventSource,
    kind: String(kind) as EventKind,
    raw_kind: String(raw),
    count: Number(count),
  }));
}
