/** Sessions: lists, one of them, counts and use. Read FINAL where versions matter, so that the highest wins. */
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import type { SessionRow } from '#schemas/events/rows.js';
import { decodeRow, formatMoment, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery, sessionQuery } from '../contract.js';
import type { EventStore, Page, SessionQuery } from '../contract.js';
import { Conditions, decodeCursor, momentCursor } from './conditions.js';
import { pageOf, readSettings } from './paging.js';
import { addVisible } from './visible.js';

export async function listSessions(engine: Engine, query: SessionQuery): Promise<Page<SessionRow>> {
  const { from, to, limit, cursor, request, visible, ...filters } = parseQuery(sessionQuery, query);
  const conditions = new Conditions();
  for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
  if (request !== undefined) conditions.add("has(splitByChar(',', request_id), {request:String})", { request });
  conditions.between('started_at', from, to);
  addVisible(conditions, 'sessions', visible);
  if (cursor !== undefined) {
    const [at, session] = decodeCursor(momentCursor, cursor);
    conditions.add("(started_at, session) < ({at:DateTime64(3, 'UTC')}, {last:String})", { at: formatMoment(at), last: session });
  }
  // The engine filters after FINAL, so an older version that passes the filter cannot stand in for the newest.
  const found = await engine.read(
    `SELECT ${selectColumns('sessions')} FROM sessions FINAL WHERE ${conditions.where} ` +
      `ORDER BY started_at DESC, session DESC LIMIT ${limit + 1} ${readSettings('list_sessions')}`,
    conditions.parameters,
  );
  const rows = found.map((values) => decodeRow('sessions', values));
  return pageOf(rows, limit, (row) => [row.started_at, row.session]);
}

export async function readSession(engine: Engine, id: string): Promise<SessionRow | undefined> {
  if (!sessionIdPattern.test(id)) throw new StenoError('BAD_REQUEST', 'not a session id');
  const [values] = await engine.read(
    `SELECT ${selectColumns('sessions')} FROM sessions WHERE session = {session:String} ORDER BY version DESC LIMIT 1 ` +
      readSettings('read_session'),
    { session: id },
  );
  return values === undefined ? undefined : decodeRow('sessions', values);
}

export async function countSessions(
  engine: Engine,
  { visible }: Parameters<EventStore['countSessions']>[0],
): Promise<{ readonly live: number; readonly total: number }> {
  const conditions = new Conditions();
  addVisible(conditions, 'sessions', visible);
  const [row] = await engine.read(
    `SELECT countIf(state = 'live'), count() FROM sessions FINAL WHERE ${conditions.where} ${readSettings('count_sessions')}`,
    conditions.parameters,
  );
  return { live: Number(row?.[0] ?? 0), total: Number(row?.[1] ?? 0) };
}

export async function sessionUse(engine: Engine, limit: number): ReturnType<EventStore['sessionUse']> {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > 100_000) throw new StenoError('BAD_REQUEST', 'limit');
  const found = await engine.read(
    'SELECT user, node, login, toUnixTimestamp64Milli(max(started_at)), uniqExact(session) FROM sessions ' +
      `GROUP BY user, node, login ORDER BY user, node, login LIMIT ${limit + 1} ${readSettings('session_use')}`,
    {},
  );
  const rows = found.slice(0, limit).map(([user, node, login, last, count]) => ({
    user: String(user),
    node: String(node),
    login: String(login),
    last_at: Number(last),
    count: Number(count),
  }));
  return { rows, truncated: found.length > limit };
}
