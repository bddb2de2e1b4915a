/** Findings, newest first; of each the state with the highest version. */
import type { FindingRow } from '#schemas/events/rows.js';
import { decodeRow, formatMoment, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { findingQuery, parseQuery } from '../contract.js';
import type { FindingQuery, Page } from '../contract.js';
import { Conditions, decodeCursor, momentCursor } from './conditions.js';
import { pageOf, readSettings } from './paging.js';
import { addVisible } from './visible.js';

export async function listFindings(engine: Engine, query: FindingQuery): Promise<Page<FindingRow>> {
  const { from, to, limit, cursor, visible, ...filters } = parseQuery(findingQuery, query);
  const conditions = new Conditions();
  for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
  conditions.between('at', from, to);
  addVisible(conditions, 'findings', visible);
  if (cursor !== undefined) {
    const [at, id] = decodeCursor(momentCursor, cursor);
    conditions.add("(at, id) < ({after_at:DateTime64(3, 'UTC')}, {after_id:String})", { after_at: formatMoment(at), after_id: id });
  }
  const found = await engine.read(
    `SELECT ${selectColumns('findings')} FROM findings FINAL WHERE ${conditions.where} ` +
      `ORDER BY at DESC, id DESC LIMIT ${limit + 1} ${readSettings('list_findings')}`,
    conditions.parameters,
  );
  return pageOf(
    found.map((values) => decodeRow('findings', values)),
    limit,
    (row) => [row.at, row.id],
  );
}
