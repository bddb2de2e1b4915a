/** Screen lines: search, the lines around a moment or beside a line, and all lines of one session. */
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import type { Engine } from '../engine/engine.js';
import { linePlaces, parseQuery, screenAfter, screenPlaces, screenQuery } from '../contract.js';
import type { LinePlace, LinesBeside, Page, ScreenHit, ScreenLine, ScreenPlace, ScreenQuery } from '../contract.js';
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
  return distinctPage(
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

/** Blocks on each side of a line that are read first. Blocks of a terminal hold a line or more each. */
const NEAR_BLOCKS = 4;

/**
 * Reads the blocks near all lines at once, by their keys: a statement with a branch for each side of each line takes the engine ten
 * times as long to plan and to start. Sides that have too few lines there (an edge of the session, blocks without lines) are asked
 * for by themselves.
 */
export async function linesBeside(engine: Engine, places: readonly LinePlace[], each: number): Promise<readonly LinesBeside[]> {
  const asked = parseQuery(linePlaces, places);
  if (!Number.isSafeInteger(each) || each < 1 || each > 100) throw new StenoError('BAD_REQUEST', 'each');
  if (asked.length === 0) return [];
  const near = new Set(
    asked.flatMap(({ session, block }) =>
      Array.from({ length: 2 * NEAR_BLOCKS + 1 }, (_, i) => block - NEAR_BLOCKS + i)
        .filter((number) => number >= 0 && number <= 0xffff_ffff)
        .map((number) => `${session} ${number}`),
    ),
  );
  const texts = (name: string): string => `{${name}:Array(String)}`;
  const numbers = (name: string): string => `CAST(${texts(name)}, 'Array(UInt32)')`;
  const found = await engine.read(
    `SELECT asked.1, later, block, \`index\`, offset_ms, row, text FROM (` +
      `SELECT session, block, \`index\`, offset_ms, row, text FROM screen ` +
      `WHERE (session, block) IN arrayZip(${texts('near_sessions')}, ${numbers('near_blocks')}) ` +
      `ORDER BY session, block, \`index\` LIMIT 1 BY session, block, \`index\`) ` +
      `ARRAY JOIN arrayFilter(x -> x.2 = session AND (x.3, x.4) != (block, \`index\`) AND abs(toInt64(x.3) - toInt64(block)) <= ${NEAR_BLOCKS}, ` +
      `arrayZip(range(${asked.length}), ${texts('sessions')}, ${numbers('blocks')}, ${numbers('indexes')})) AS asked ` +
      'ORDER BY asked.1, ((block, `index`) > (asked.3, asked.4)) AS later, if(later, 1, -1) * toInt64(block), if(later, 1, -1) * toInt64(`index`) ' +
      `LIMIT ${each} BY asked.1, later ${readSettings('lines_beside')}`,
    {
      near_sessions: [...near].map((key) => key.split(' ')[0]!),
      near_blocks: [...near].map((key) => key.split(' ')[1]!),
      sessions: asked.map(({ session }) => session),
      blocks: asked.map(({ block }) => String(block)),
      indexes: asked.map(({ index }) => String(index)),
    },
  );
  const beside = asked.map(() => ({ before: [] as ScreenLine[], after: [] as ScreenLine[] }));
  for (const [place, later, ...line] of found) beside[Number(place)]![Number(later) === 1 ? 'after' : 'before'].push(lineOf(line));
  for (const [i, { session, block, index }] of asked.entries()) {
    const sides = beside[i]!;
    sides.before.reverse();
    // In front of block 0 there is nothing.
    if (sides.before.length < each && block > NEAR_BLOCKS)
      sides.before = [...(await screenLines(engine, session, { block, index }, each, 'before'))];
    if (sides.after.length < each) sides.after = [...(await screenLines(engine, session, { block, index }, each))];
  }
  return beside;
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
