/**
 * How long people took to respond to findings, by the month of the finding (schemas/events/response.ts defines the measures). Audit
 * rows may be stored twice, so the earliest of each kind counts. Tested in ../response-conformance.ts against plain TypeScript.
 */
import { RESPONSE_WITHIN_MS, responseMeasures } from '#schemas/events/response.js';
import type { Measured, ResponseMonth } from '#schemas/events/response.js';
import { TRIAGE_EVENT } from '#schemas/events/triage.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery } from '../contract.js';
import { responseQuery } from '../response-contract.js';
import type { ResponseQuery } from '../response-contract.js';
import { Conditions } from './conditions.js';
import { addTiers } from './findings.js';
import { readSettings } from './paging.js';
import { addVisible } from './visible.js';

const version = "JSONExtractUInt(data, 'version')";
const within = `toIntervalMillisecond(${RESPONSE_WITHIN_MS})`;
const after = `a.at >= f.at AND a.at < f.at + ${within}`;

export async function responseByMonth(engine: Engine, query: ResponseQuery): Promise<readonly ResponseMonth[]> {
  const { from, to, user, visible, tiers } = parseQuery(responseQuery, query);
  const conditions = new Conditions();
  conditions.between('at', from, to);
  conditions.equals('user', user);
  addTiers(conditions, tiers);
  addVisible(conditions, 'findings', visible);
  // Nothing before the first finding can be a response.
  const since = "at >= {from:DateTime64(3, 'UTC')}";
  const found = `SELECT id, session, user, node, at, state FROM findings FINAL WHERE ${conditions.where}`;
  const decided =
    `SELECT target AS id, min(at) AS first_at, argMax(JSONExtractString(data, 'state'), ${version}) AS said, argMax(at, ${version}) AS said_at ` +
    `FROM audit WHERE event = '${TRIAGE_EVENT}' AND outcome = 'success' GROUP BY target`;
  const looked =
    `SELECT f.id AS id, min(a.at) AS look_at FROM (${found}) AS f INNER JOIN (SELECT session, actor, at FROM audit ` +
    `WHERE event IN ('recording.view', 'recording.follow', 'recording.export') AND outcome = 'success' AND session != '' AND ${since}) AS a ` +
    `ON a.session = f.session WHERE ${after} AND a.actor != f.user GROUP BY id`;
  const locks =
    "SELECT JSONExtractString(data, 'lock', 'target_kind') AS kind, JSONExtractString(data, 'lock', 'target') AS target, at FROM audit " +
    `WHERE event = 'lock.put' AND outcome = 'success' AND ${since} UNION ALL ` +
    "SELECT 'session' AS kind, session AS target, at FROM audit " +
    `WHERE event = 'response.take' AND outcome = 'success' AND JSONExtractString(data, 'kind') = 'taken' AND ${since}`;
  const locked =
    'SELECT f.id AS id, min(a.at) AS lock_at FROM (SELECT id, at, concern.1 AS kind, concern.2 AS target ' +
    "FROM (SELECT id, at, [('session', session), ('session-input', session), ('user', user), ('node', node)] AS concerns " +
    `FROM (${found})) ARRAY JOIN concerns AS concern WHERE concern.2 != '') AS f INNER JOIN (${locks}) AS a ` +
    `ON a.kind = f.kind AND a.target = f.target WHERE ${after} GROUP BY id`;
  const ends = `SELECT session, ended_at FROM sessions FINAL WHERE ended_at IS NOT NULL AND session IN (SELECT session FROM (${found}))`;
  // Joins give time 0 if nothing was found.
  const took = (end: string): string => `if(${end} = 0, NULL, greatest(0, ${end} - began))`;
  const rows =
    'SELECT month, began, if(looked = 0, first, if(first = 0, looked, least(looked, first))) AS look, locked AS lock, ' +
    `if(locked = 0 OR over < locked OR over >= began + ${RESPONSE_WITHIN_MS}, 0, over) AS ended, ` +
    "if(now_is IN ('resolved', 'dismissed'), said_ms, 0) AS closed FROM (SELECT toStartOfMonth(f.at, 'UTC') AS month, " +
    'toUnixTimestamp64Milli(f.at) AS began, toUnixTimestamp64Milli(l.look_at) AS looked, toUnixTimestamp64Milli(d.first_at) AS first, ' +
    "toUnixTimestamp64Milli(k.lock_at) AS locked, ifNull(toUnixTimestamp64Milli(s.ended_at), 0) AS over, if(d.said = '', f.state, d.said) AS now_is, " +
    `toUnixTimestamp64Milli(d.said_at) AS said_ms FROM (${found}) AS f LEFT JOIN (${decided}) AS d ON d.id = f.id ` +
    `LEFT JOIN (${looked}) AS l ON l.id = f.id LEFT JOIN (${locked}) AS k ON k.id = f.id LEFT JOIN (${ends}) AS s ON s.session = f.session ` +
    "WHERE now_is != 'suppressed')";
  const numbers = responseMeasures.map(
    (measure) => `count(${took(measure)}), quantileExact(0.5)(${took(measure)}), quantileExact(0.9)(${took(measure)})`,
  );
  const answer = await engine.read(
    `SELECT toUnixTimestamp(toDateTime(month, 'UTC')), count(), ${numbers.join(', ')} FROM (${rows}) GROUP BY month ORDER BY month ` +
      readSettings('response_by_month'),
    conditions.parameters,
  );
  return answer.map(([month, findings, ...values]) => {
    const measured = responseMeasures.map((measure, i) => {
      const [count, median, p90] = values.slice(i * 3, i * 3 + 3).map(Number) as [number, number, number];
      const one: Measured = count === 0 ? { count: 0, median: null, p90: null } : { count, median, p90 };
      return [measure, one] as const;
    });
    return { month: Number(month) * 1000, findings: Number(findings), ...Object.fromEntries(measured) } as ResponseMonth;
  });
}
