/** Screen lines: search, the lines around a hit, and all lines of one session. */
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import type { Engine } from '../engine/engine.js';
import { parseQuery, screenAfter, screenPlaces, screenQuery } from '../contract.js';
import type { Page, ScreenHit, ScreenLine, ScreenPlace, ScreenQuery } from '../contract.js';
import { Conditions, lineCursor } from './conditions.js';
import { distinctPage, indexedSettings, readSettings } from './paging.js';
import { screenText, textCondition } from './text-match.js';
import { addVisible } from './visible.js';

export async function searchScreen(engine: Engine, query: ScreenQuery): Promise<Page<ScreenHit>> {
  const { from, to, limit, cursor, text, mode, visible, ...filters } = parseQuery(screenQuery, query);
  const build = (): Conditions => {
    const conditions = new Conditions();
    conditions.add(textCondition(screenText, text, mode, conditions.bind), {});
    for (const [name, value] of Object.entries(filters)) conditions.equals(name, value);
    conditions.between('at', from, to);
    addVisible(conditions, 'screen', visible);
    return conditions;
  };
  const { rows, next } = await distinctPage(
    engine,
    {
      table: 'screen',
      columns: ['at', 'session', 'block', 'index'],
      descending: true,
      settings: indexedSettings('search_screen'),
      cursor: lineCursor,
    },
    build,
    limit,
    cursor,
  );
  return { rows: rows.map(({ block: _block, index: _index, ...hit }) => hit), next };
}

export async function screenAround(
  engine: Engine,
  places: readonly ScreenPlace[],
  each: number,
): Promise<readonly (readonly ScreenLine[])[]> {
  const asked = parseQuery(screenPlaces, places);
  if (!Number.isSafeInteger(each) || each < 1 || each > 100) throw new StenoError('BAD_REQUEST', 'each');
  if (asked.length === 0) return [];
  const parameters: Record<string, string | number> = {};
  const side = (i: number, compare: '<=' | '>', order: 'ASC' | 'DESC'): string =>
    `SELECT * FROM (SELECT toUInt32(${i}) AS hit, block, \`index\`, offset_ms, row, text FROM screen ` +
    `WHERE session = {session_${i}:String} AND offset_ms ${compare} {offset_${i}:UInt64} ` +
    `ORDER BY block ${order}, \`index\` ${order} LIMIT 1 BY block, \`index\` LIMIT ${each})`;
  const sides = asked.flatMap(({ session, offset_ms: offset }, i) => {
    parameters[`session_${i}`] = session;
    parameters[`offset_${i}`] = offset;
    return [side(i, '<=', 'DESC'), side(i, '>', 'ASC')];
  });
  const found = await engine.read(
    `SELECT hit, block, \`index\`, offset_ms, row, text FROM (${sides.join(' UNION ALL ')}) ORDER BY hit, block, \`index\` ` +
      readSettings('screen_around'),
    parameters,
  );
  const around: ScreenLine[][] = asked.map(() => []);
  for (const [hit, ...line] of found) around[Number(hit)]!.push(lineOf(line));
  return around;
}

export async function screenLines(
  engine: Engine,
  session: string,
  after: { readonly block: number; readonly index: number } | null,
  limit: number,
  side: 'after' | 'before' = 'after',
): Promise<readonly ScreenLine[]> {
  if (!sessionIdPattern.test(session)) throw new StenoError('BAD_REQUEST', 'not a session id');
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > 10_000) throw new StenoError('BAD_REQUEST', 'limit');
  const place = parseQuery(screenAfter, after);
  const conditions = new Conditions();
  conditions.equals('session', session);
  const [compare, order] = side === 'after' ? ['>', 'ASC'] : ['<', 'DESC'];
  if (place !== null) conditions.add(`(block, \`index\`) ${compare} ({block:UInt32}, {index:UInt32})`, place);
  const found = await engine.read(
    `SELECT block, \`index\`, offset_ms, row, text FROM screen WHERE ${conditions.where} ` +
      `ORDER BY block ${order}, \`index\` ${order} LIMIT 1 BY block, \`index\` LIMIT ${limit} ${readSettings('screen_lines')}`,
    conditions.parameters,
  );
  const lines = found.map(lineOf);
  return side === 'after' ? lines : lines.reverse();
}

function lineOf([block, index, offset, row, text]: readonly unknown[]): ScreenLine {
  return { block: Number(block), index: Number(index), offset_ms: Number(offset), row: Number(row), text: String(text) };
}
