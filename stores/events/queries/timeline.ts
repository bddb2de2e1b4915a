/** When things happened in one session. The engine counts, so no rows leave the store. Tested in ../timeline-conformance.ts. */
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import { LIBRARIES, READING } from '#schemas/kernel/matters.js';
import { DULL_DEVICES, SERVICE_SOCKETS } from '#schemas/kernel/process-tree.js';
import type { Engine } from '../engine/engine.js';
import type { Timeline, TimelineCount } from '../contract.js';
import { readSettings } from './paging.js';

const MOST_IDLE = 100;
/** Most counts in the answer, over all lanes, whatever width is requested. */
const MOST_COUNTS = 20_000;

/** '' is in no lane: forks, exits, and events that mean nothing on their own. */
const laneOf = `multiIf(
  kind = 'exec', 'program',
  kind = 'sftp', 'file',
  kind = 'file' AND (name = 'digest' OR match(path, {dull:String}) OR (name = 'map' AND match(path, {libraries:String}))
    OR (name = 'execute' AND outcome = 'ENOENT')
    OR (name = 'open' AND match(reason, {reading:String}) AND NOT match(reason, {changing:String}) AND position(data, '"matters":') = 0)), '',
  kind = 'file', 'file',
  kind = 'connect' AND outcome = 'ENOENT' AND match(path, {sockets:String}), '',
  kind IN ('connect', 'accept', 'listen', 'send', 'dns') OR (kind = 'forward' AND outcome != 'closed'), 'network',
  kind IN ('privilege', 'system', 'escape'), 'power',
  kind = 'gap', 'gap',
  '')`;

export async function sessionTimeline(
  engine: Engine,
  session: string,
  { width, leastIdle }: { readonly width: number; readonly leastIdle: number },
): Promise<Timeline> {
  if (!sessionIdPattern.test(session)) throw new StenoError('BAD_REQUEST', 'not a session id');
  if (!Number.isSafeInteger(width) || width < 1) throw new StenoError('BAD_REQUEST', 'width');
  if (!Number.isSafeInteger(leastIdle) || leastIdle < 1) throw new StenoError('BAD_REQUEST', 'leastIdle');
  const counted = await engine.read(
    "SELECT 'output' AS lane, intDiv(offset_ms, {width:UInt64}) AS part, min(offset_ms), sum(length) FROM " +
      '(SELECT offset_ms, lengthUTF8(text) AS length FROM screen WHERE session = {session:String} ORDER BY block, `index` LIMIT 1 BY block, `index`) ' +
      'GROUP BY part UNION ALL ' +
      `SELECT ${laneOf} AS lane, intDiv(offset_ms, {width:UInt64}) AS part, min(offset_ms), uniqExact(source, emitter, block, \`index\`) ` +
      "FROM events WHERE session = {session:String} GROUP BY lane, part HAVING lane != '' " +
      `LIMIT ${MOST_COUNTS} ${readSettings('session_timeline')}`,
    {
      ...{ session, width, dull: DULL_DEVICES, sockets: SERVICE_SOCKETS, libraries: LIBRARIES },
      ...{ reading: READING.begins, changing: READING.without },
    },
  );
  const idle = await engine.read(
    'SELECT before, offset_ms FROM (SELECT offset_ms, lagInFrame(offset_ms, 1, 0) OVER (ORDER BY offset_ms ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before ' +
      'FROM (SELECT DISTINCT offset_ms FROM screen WHERE session = {session:String})) WHERE offset_ms >= before + {least:UInt64} ' +
      `ORDER BY offset_ms - before DESC, before LIMIT ${MOST_IDLE} ${readSettings('session_timeline')}`,
    { session, least: leastIdle },
  );
  return {
    counts: counted
      .map(([lane, part, first, amount]) => ({
        lane: String(lane) as TimelineCount['lane'],
        part: Number(part),
        first: Number(first),
        amount: Number(amount),
      }))
      .sort((a, b) => (a.lane < b.lane ? -1 : a.lane > b.lane ? 1 : a.part - b.part)),
    idle: idle.map(([from, to]) => ({ from: Number(from), to: Number(to) })).sort((a, b) => a.from - b.from),
  };
}
