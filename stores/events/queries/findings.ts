/**
 * Findings, newest first; for each the row with the highest version, with its triaged state.
 *
 * That state is derived from the audit log (schemas/events/triage.ts); the column `event` has few distinct values, so finding these
 * rows is cheap. Tested in stores/events/conformance.ts.
 */
import { triageData, TRIAGE_EVENT } from '#schemas/events/triage.js';
import type { FindingRow } from '#schemas/events/rows.js';
import type { Triage } from '#schemas/events/triage.js';
import { decodeRow, formatMoment, selectColumns } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { findingQuery, parseQuery } from '../contract.js';
import type { FindingCount, FindingQuery, Found, Page } from '../contract.js';
import { Conditions, decodeCursor, momentCursor } from './conditions.js';
import { pageOf, readSettings } from './paging.js';
import { addVisible } from './visible.js';

const version = "JSONExtractUInt(data, 'version')";
/** One row for each finding with a decision. */
const triaged =
  `SELECT target AS triaged, argMax(JSONExtractString(data, 'state'), ${version}) AS said FROM audit ` +
  `WHERE event = '${TRIAGE_EVENT}' AND outcome = 'success' GROUP BY target`;

export async function listFindings(engine: Engine, query: FindingQuery): Promise<Page<Found>> {
  const { from, to, limit, cursor, visible, state, states, severities, tiers, ...filters } = parseQuery(findingQuery, query);
  const conditions = new Conditions();
  for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
  conditions.between('at', from, to);
  addTiers(conditions, tiers);
  if (severities !== undefined) conditions.add('severity IN {severities:Array(String)}', { severities });
  const wanted = states ?? (state === undefined ? undefined : [state]);
  if (wanted !== undefined)
    conditions.add(
      `id IN (SELECT triaged FROM (${triaged}) WHERE said IN {states:Array(String)}) ` +
        `OR (state IN {states:Array(String)} AND id NOT IN (SELECT triaged FROM (${triaged})))`,
      { states: wanted },
    );
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
  const page = pageOf(
    found.map((values) => decodeRow('findings', values)),
    limit,
    (row) => [row.at, row.id],
  );
  const decided = await triageOf(
    engine,
    page.rows.map(({ id }) => id),
  );
  return {
    rows: page.rows.map((row) => {
      const triage = decided.get(row.id) ?? null;
      return { ...row, state: triage?.state ?? row.state, triage };
    }),
    next: page.next,
  };
}

/** The last decision for each finding. */
async function triageOf(engine: Engine, ids: readonly string[]): Promise<ReadonlyMap<string, Triage>> {
  if (ids.length === 0) return new Map();
  const found = await engine.read(
    `SELECT target, argMax((actor, toUnixTimestamp64Milli(at), data), ${version}) FROM audit ` +
      `WHERE event = '${TRIAGE_EVENT}' AND outcome = 'success' AND target IN {ids:Array(String)} GROUP BY target ${readSettings('triage')}`,
    { ids },
  );
  return new Map(
    found.flatMap(([id, value]) => {
      const [by, at, data] = value as unknown as readonly [string, number, string];
      const parsed = triageData.safeParse(parseJson(data));
      if (!parsed.success) return [];
      const { state, reason } = parsed.data;
      return [[String(id), { state, by, at: Number(at), reason }] as const];
    }),
  );
}

/** Counts by state and severity. */
export async function countFindings(engine: Engine, query: FindingQuery): Promise<readonly FindingCount[]> {
  const {
    from,
    to,
    visible,
    limit: _,
    cursor: __,
    state: ___,
    states: ____,
    severities: _____,
    tiers,
    ...filters
  } = parseQuery(findingQuery, query);
  const conditions = new Conditions();
  for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
  conditions.between('at', from, to);
  addTiers(conditions, tiers);
  addVisible(conditions, 'findings', visible);
  const found = await engine.read(
    `SELECT if(said = '', state, said) AS now, severity, count() FROM ` +
      `(SELECT id, state, severity FROM findings FINAL WHERE ${conditions.where}) AS f ` +
      `LEFT JOIN (${triaged}) AS t ON f.id = t.triaged GROUP BY now, severity ORDER BY now, severity ${readSettings('count_findings')}`,
    conditions.parameters,
  );
  return found.map(([state, severity, count]) => ({
    state: String(state) as FindingRow['state'],
    severity: String(severity) as FindingRow['severity'],
    count: Number(count),
  }));
}

export function addTiers(conditions: Conditions, tiers: FindingQuery['tiers']): void {
  if (tiers === undefined) return;
  conditions.add("if(JSONExtractString(data, 'tier') = '', 'alert', JSONExtractString(data, 'tier')) IN {tiers:Array(String)}", { tiers });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
