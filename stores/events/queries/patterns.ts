/**
 * Patterns over sessions: commands that recur before findings, nodes and hours, similar sessions. schemas/events/patterns.ts defines
 * commands. A row that is stored twice counts once, since only sets of sessions and commands are counted. Tested in
 * ../patterns-conformance.ts against plain TypeScript.
 */
import { commandShapeSql } from '#schemas/events/patterns.js';
import type { AlikeSession, Patterns } from '#schemas/events/patterns.js';
import { TRIAGE_EVENT } from '#schemas/events/triage.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery } from '../contract.js';
import { alikeQuery, patternQuery } from '../pattern-contract.js';
import type { AlikeQuery, PatternQuery } from '../pattern-contract.js';
import { Conditions } from './conditions.js';
import { addTiers } from './findings.js';
import { readSettings } from './paging.js';
import { addVisible } from './visible.js';

const MAX_COMMANDS = 50;
const MAX_NODES = 100;
const MAX_ALIKE = 20;
/** The analyzer gives a finding the time of its event, so commands at the same time count as before it. */
const decided =
  `SELECT target AS id, argMax(JSONExtractString(data, 'state'), JSONExtractUInt(data, 'version')) AS said FROM audit ` +
  `WHERE event = '${TRIAGE_EVENT}' AND outcome = 'success' GROUP BY target`;

/** Every command of the sessions, once each, with the time at which it first ran. */
function commandsOf(sessions: string): string {
  return (
    'SELECT session, command, min(at) AS first_at FROM (' +
    `SELECT session, ${commandShapeSql('name')} AS command, at FROM events WHERE (kind = 'shell' OR kind = 'exec' AND source = 'kernel') AND session IN (${sessions}) UNION ALL ` +
    `SELECT session, ${commandShapeSql('command')} AS command, started_at AS at FROM sessions FINAL WHERE session IN (${sessions})` +
    ") WHERE command != '' GROUP BY session, command"
  );
}

function spanOf({ from, to, user, visible }: Pick<PatternQuery, 'from' | 'to' | 'user' | 'visible'>): Conditions {
  const conditions = new Conditions();
  conditions.between('started_at', from, to);
  conditions.equals('user', user);
  addVisible(conditions, 'sessions', visible);
  return conditions;
}

export async function patterns(engine: Engine, query: PatternQuery): Promise<Patterns> {
  const { tiers, ...span } = parseQuery(patternQuery, query);
  const conditions = spanOf(span);
  const sessions = `SELECT session FROM sessions FINAL WHERE ${conditions.where}`;
  const about = new Conditions();
  addTiers(about, tiers);
  const parameters = { ...conditions.parameters, ...about.parameters };
  const incidents =
    `SELECT f.session AS session, min(f.at) AS found_at FROM (SELECT id, session, at, state FROM findings FINAL WHERE ${about.where} AND ` +
    `session IN (${sessions})) AS f LEFT JOIN (${decided}) AS d ON d.id = f.id ` +
    "WHERE if(d.said = '', f.state, d.said) NOT IN ('dismissed', 'suppressed') GROUP BY session";
  const marked =
    "SELECT s.session AS session, s.node AS node, s.started_at AS started_at, i.session != '' AS incident FROM " +
    `(SELECT session, node, started_at FROM sessions FINAL WHERE ${conditions.where}) AS s LEFT JOIN (${incidents}) AS i ON i.session = s.session`;
  const read = (name: string, sql: string) => engine.read(`${sql} ${readSettings(name)}`, parameters);
  const [total] = await read('patterns_total', `SELECT count(), countIf(incident) FROM (${marked})`);
  const [known] = await read('patterns_known', `SELECT uniqExact(session) FROM (${commandsOf(sessions)})`);
  const [all, bad] = (total ?? [0, 0]).map(Number) as [number, number];
  const commands = await read(
    'patterns_commands',
    'SELECT command, before, others, ' +
      `((before + 0.5) * (${all - bad} + 1)) / ((${bad} + 1) * (others + 0.5)) AS lift, newest FROM (` +
      "SELECT c.command AS command, uniqExactIf(c.session, i.session != '' AND c.first_at <= i.found_at) AS before, " +
      "uniqExactIf(c.session, i.session = '') AS others, " +
      "arraySlice(arrayReverseSort(groupUniqArrayIf(c.session, i.session != '' AND c.first_at <= i.found_at)), 1, 3) AS newest " +
      `FROM (${commandsOf(sessions)}) AS c LEFT JOIN (${incidents}) AS i ON i.session = c.session GROUP BY command) ` +
      `WHERE before >= 2 ORDER BY lift DESC, before DESC, command LIMIT ${MAX_COMMANDS}`,
  );
  const nodes = await read(
    'patterns_nodes',
    `SELECT node, count() AS sessions, countIf(incident) AS incidents FROM (${marked}) GROUP BY node ORDER BY incidents DESC, sessions DESC, node LIMIT ${MAX_NODES}`,
  );
  const hours = await read(
    'patterns_hours',
    `SELECT toDayOfWeek(started_at, 0, 'UTC') AS day, toHour(started_at, 'UTC') AS hour, count(), countIf(incident) FROM (${marked}) GROUP BY day, hour ORDER BY day, hour`,
  );
  return {
    ...{ sessions: all, incidents: bad, known: Number(known?.[0] ?? 0) },
    commands: commands.map(([command, before, others, lift, newest]) => ({
      ...{ command: String(command), before: Number(before), others: Number(others), lift: Number(lift) },
      sessions: (newest as unknown as readonly string[]).map(String),
    })),
    nodes: nodes.map(([node, count, found]) => ({ node: String(node), sessions: Number(count), incidents: Number(found) })),
    hours: hours.map((values) => {
      const [day, hour, count, found] = values.map(Number) as [number, number, number, number];
      return { day, hour, sessions: count, incidents: found };
    }),
  };
}

/** Sessions that share at least two commands, the most similar first. `visible` does not restrict the given session: the caller has checked it. */
export async function alikeSessions(engine: Engine, query: AlikeQuery): Promise<readonly AlikeSession[]> {
  const { session, ...span } = parseQuery(alikeQuery, query);
  if (span.from > span.to) throw new StenoError('BAD_REQUEST', 'from: is not before to');
  const conditions = spanOf(span);
  const others = `SELECT session FROM sessions FINAL WHERE ${conditions.where}`;
  const own = 'SELECT {own:String}';
  const found = await engine.read(
    `WITH (SELECT groupUniqArray(command) FROM (${commandsOf(own)})) AS mine ` +
      'SELECT session, length(arrayIntersect(mine, theirs)) AS shared, length(mine) + length(theirs) - shared AS either, ' +
      'arraySlice(arraySort(arrayIntersect(mine, theirs)), 1, 8) FROM (' +
      `SELECT session, groupUniqArray(command) AS theirs FROM (${commandsOf(others)}) WHERE session != {own:String} GROUP BY session) ` +
      `WHERE shared >= 2 ORDER BY shared / either DESC, shared DESC, session DESC LIMIT ${MAX_ALIKE} ${readSettings('alike_sessions')}`,
    { ...conditions.parameters, own: session },
  );
  return found.map(([id, shared, either, commands]) => ({
    ...{ session: String(id), shared: Number(shared), either: Number(either) },
    commands: (commands as unknown as readonly string[]).map(String),
  }));
}
