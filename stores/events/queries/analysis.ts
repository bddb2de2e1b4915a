/** The analyzer's reads: whole screen lines of a session, and the sessions it has not finished. */
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import type { ScreenRow, SessionRow } from '#schemas/events/rows.js';
import { sessionId } from '#schemas/recording/line.js';
import { decodeRow, formatMoment, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery, screenAfter } from '../contract.js';
import type { EventStore } from '../contract.js';
import { Conditions } from './conditions.js';
import { readSettings } from './paging.js';

export async function screenRows(
  engine: Engine,
  ...[session, after, limit]: Parameters<EventStore['screenRows']>
): Promise<readonly ScreenRow[]> {
  if (!sessionIdPattern.test(session)) throw new StenoError('BAD_REQUEST', 'not a session id');
  checkLimit(limit);
  const place = parseQuery(screenAfter, after);
  const conditions = new Conditions();
  conditions.equals('session', session);
  if (place !== null) conditions.add('(block, `index`) > ({block:UInt32}, {index:UInt32})', place);
  const found = await engine.read(
    `SELECT ${selectColumns('screen')} FROM screen WHERE ${conditions.where} ` +
      `ORDER BY block, \`index\` LIMIT 1 BY block, \`index\` LIMIT ${limit} ${readSettings('screen_rows')}`,
    conditions.parameters,
  );
  return found.map((values) => decodeRow('screen', values));
}

export async function sessionsWithoutAudit(
  engine: Engine,
  { event, from, limit }: Parameters<EventStore['sessionsWithoutAudit']>[0],
): Promise<readonly SessionRow[]> {
  checkLimit(limit);
  if (!Number.isSafeInteger(from) || from < 0 || from > 7_258_118_400_000) throw new StenoError('BAD_REQUEST', 'from');
  // Ids begin with their time, and the table is ordered by id, so older rows are not read. Clocks may differ by a day.
  const first = sessionId(Math.max(0, from - 86_400_000), new Uint8Array(10));
  const found = await engine.read(
    `SELECT ${selectColumns('sessions')} FROM sessions FINAL WHERE session >= {first:String} ` +
      `AND started_at >= {from:DateTime64(3, 'UTC')} ` +
      `AND session NOT IN (SELECT session FROM audit WHERE event = {event:String} AND at >= {from:DateTime64(3, 'UTC')}) ` +
      `ORDER BY started_at DESC, session DESC LIMIT ${limit} ${readSettings('sessions_without_audit')}`,
    { first, event, from: formatMoment(from) },
  );
  return found.map((values) => decodeRow('sessions', values));
}

function checkLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > 10_000) throw new StenoError('BAD_REQUEST', 'limit');
}
