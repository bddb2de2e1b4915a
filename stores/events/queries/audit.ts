/** Audit rows, newest first. */
import type { AuditRow } from '#schemas/events/rows.js';
import type { Engine } from '../engine/engine.js';
import { auditQuery, parseQuery } from '../contract.js';
import type { AuditQuery, Page } from '../contract.js';
import { Conditions, momentCursor } from './conditions.js';
import { distinctPage, readSettings } from './paging.js';

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
