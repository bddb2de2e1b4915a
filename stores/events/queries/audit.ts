/** Audit rows, newest first, and the views of sessions that they record. */
import type { AuditRow } from '#schemas/events/rows.js';
import type { Engine } from '../engine/engine.js';
import { auditQuery, parseQuery, viewsQuery } from '../contract.js';
import type { AuditQuery, EventStore, Page, ViewsQuery } from '../contract.js';
import { Conditions, momentCursor } from './conditions.js';
import { distinctPage, readSettings } from './paging.js';
import { addVisible } from './visible.js';

export async function listAudit(engine: Engine, query: AuditQuery): Promise<Page<AuditRow>> {
  const { from, to, limit, cursor, event, ...filters } = parseQuery(auditQuery, query);
  const build = (): Conditions => {
    const conditions = new Conditions();
    if (event?.endsWith('.') === true) conditions.add('startsWith(event, {event:String})', { event });
    else conditions.equals('event', event);
    for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
    conditions.between('at', from, to);
    return conditions;
  };
  return await distinctPage(
    engine,
    { table: 'audit', columns: ['at', 'id'], descending: true, settings: readSettings('list_audit'), cursor: momentCursor },
    build,
    limit,
    cursor,
  );
}

/** Counts ids rather than rows, because a row may be stored twice. */
export async function viewsOf(engine: Engine, query: ViewsQuery): ReturnType<EventStore['views']> {
  const { from, to, limit, actor, session, visible } = parseQuery(viewsQuery, query);
  const conditions = new Conditions();
  conditions.add("event IN ('recording.view', 'recording.follow', 'recording.export') AND session != ''", {});
  conditions.equals('actor', actor);
  conditions.equals('session', session);
  conditions.between('at', from, to);
  // Filtered like rows of events, which are visible with their session; the caller has checked the right to read the audit log.
  addVisible(conditions, 'events', visible);
  const found = await engine.read(
    'SELECT session, actor, uniqExact(id), toUnixTimestamp64Milli(min(at)), toUnixTimestamp64Milli(max(at)) AS last, ' +
      "uniqExactIf(id, event = 'recording.export' AND outcome = 'success'), uniqExactIf(id, outcome = 'failure'), any(node), any(login) " +
      `FROM audit WHERE ${conditions.where} GROUP BY session, actor ORDER BY last DESC, session, actor LIMIT ${limit + 1} ${readSettings('views')}`,
    conditions.parameters,
  );
  const rows = found.slice(0, limit).map(([id, viewer, times, first, last, exports, refusals, node, login]) => ({
    ...{ session: String(id), actor: String(viewer), times: Number(times), first_at: Number(first), last_at: Number(last) },
    ...{ exports: Number(exports), refusals: Number(refusals), node: String(node), login: String(login) },
  }));
  return { rows, truncated: found.length > limit };
}
