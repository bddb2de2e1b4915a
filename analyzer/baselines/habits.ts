/**
 * The counted acts of events: the program by its name, the program with its subcommand (`systemctl restart`), the program with that of
 * its parent (`sshd > bash`), the address and the port of a connection. Each is implemented twice, here and as SQL; history.test.ts
 * compares the two on generated rows.
 */
import type { EventRow } from '#schemas/events/rows.js';

export const habits = ['program', 'command', 'pair', 'destination', 'port'] as const;
export type Habit = (typeof habits)[number];

export interface Act {
  readonly habit: Habit;
  readonly value: string;
}

/** The word after the program, unless it is a path, an option or a number. */
const SUBCOMMAND = '^[^ ]* ([a-z][a-z-]{1,20})( |$)';
const subcommand = new RegExp(SUBCOMMAND);
const MAX_VALUE = 200;

/** Processes per session whose program is remembered; beyond that, the oldest are forgotten. */
const MAX_PROCESSES = 10_000;

/**
 * Reads the acts of a session from its rows in order. The parent's program is the one that the process with that number was last seen
 * to execute; forks are not followed, because the query for the past does not follow them either.
 */
export class ActReader {
  readonly #programs = new Map<string, string>();

  take(row: EventRow): readonly Act[] {
    if (row.source !== 'kernel') return [];
    if (row.kind === 'connect') {
      return filled([
        { habit: 'destination', value: row.address },
        { habit: 'port', value: row.port === null ? '' : String(row.port) },
      ]);
    }
    if (row.kind !== 'exec') return [];
    const program = row.path.split('/').at(-1)!;
    const word = subcommand.exec(row.name)?.[1];
    const above = this.#parentOf(row, program);
    return filled([
      { habit: 'program', value: program },
      { habit: 'command', value: word === undefined || program === '' ? '' : `${program} ${word}` },
      { habit: 'pair', value: above === '' || program === '' ? '' : `${above} > ${program}` },
    ]);
  }

  #parentOf({ emitter, data }: EventRow, program: string): string {
    const { pid, ppid } = numbersOf(data);
    const above = this.#programs.get(`${emitter} ${ppid}`) ?? '';
    if (pid >= 0) {
      this.#programs.delete(`${emitter} ${pid}`);
      this.#programs.set(`${emitter} ${pid}`, program);
      if (this.#programs.size > MAX_PROCESSES) this.#programs.delete(this.#programs.keys().next().value!);
    }
    return ppid < 0 ? '' : above;
  }
}

function numbersOf(data: string): { readonly pid: number; readonly ppid: number } {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    value = null;
  }
  const read = (key: string): number => {
    const found: unknown =
      typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : -1;
    return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : -1;
  };
  return { pid: read('pid'), ppid: read('ppid') };
}

function filled(acts: readonly Act[]): readonly Act[] {
  return acts.filter(({ value }) => value !== '' && Buffer.byteLength(value) <= MAX_VALUE);
}

/**
 * Rows `session`, `user`, `habit`, `value` of the sessions selected by the subquery. Pairs need a join of all executions with
 * themselves, so they are requested for one user and not for everybody.
 */
export function actsSql(sessions: string, asked: { readonly pairs: boolean }): string {
  const last = (text: string): string => `arrayElement(splitByChar('/', ${text}), -1)`;
  const number = (key: string): string => `if(JSONType(data, '${key}') IN ('Int64', 'UInt64'), JSONExtractInt(data, '${key}'), -1)`;
  const position = 'toUInt64(block) * 4294967296 + `index`';
  const ours = `source = 'kernel' AND session IN (${sessions})`;
  const rows = `SELECT session, user, emitter, kind, path, name, address, port, ${position} AS place, if(${number('ppid')} < 0, -2, ${number('ppid')}) AS above FROM events WHERE kind IN ('exec', 'connect') AND ${ours}`;
  const births = `SELECT session, emitter, ${position} AS born, ${number('pid')} AS process, ${last('path')} AS parent FROM events WHERE kind = 'exec' AND ${ours}`;
  const alone =
    `SELECT session, user, kind, ${last('path')} AS program, extract(name, '${SUBCOMMAND}') AS word, address, ifNull(toString(port), '') AS port, '' AS parent ` +
    `FROM events WHERE kind IN ('exec', 'connect') AND ${ours}`;
  const joined =
    `SELECT e.session AS session, e.user AS user, e.kind AS kind, ${last('e.path')} AS program, extract(e.name, '${SUBCOMMAND}') AS word, ` +
    `e.address AS address, ifNull(toString(e.port), '') AS port, b.parent AS parent FROM (${rows}) AS e ASOF LEFT JOIN (${births}) AS b ` +
    `ON e.session = b.session AND e.emitter = b.emitter AND e.above = b.process AND e.place > b.born`;
  const command = `if(word = '' OR program = '', '', concat(program, ' ', word))`;
  const pair = `if(parent = '' OR program = '', '', concat(parent, ' > ', program))`;
  const act = `if(kind = 'exec', [('program', program), ('command', ${command}), ('pair', ${pair})], [('destination', address), ('port', port)])`;
  return (
    `SELECT session, user, tupleElement(act, 1) AS habit, tupleElement(act, 2) AS value FROM ` +
    `(SELECT session, user, arrayJoin(${act}) AS act FROM (${asked.pairs ? joined : alone})) WHERE value != '' AND length(value) <= ${MAX_VALUE}`
  );
}

const OPTION = '^--?[A-Za-z][A-Za-z0-9-]*$';
const WORD = '^[a-z][a-z-]{1,20}$';
const option = new RegExp(OPTION);
const firstWord = new RegExp(WORD);
const MAX_OPTIONS = 4;

/**
 * The form in which a program was called, without its operands: its name, its subcommand, and its options as written: `tar -czf`. ''
 * for none.
 */
export function formOf(path: string, command: string): string {
  const words = command.split(' ').slice(1);
  const subcommand = firstWord.test(words[0] ?? '') ? [words[0]!] : [];
  const program = path.split('/').at(-1)!;
  if (program === '') return '';
  const form = [program, ...subcommand, ...words.filter((word) => option.test(word)).slice(0, MAX_OPTIONS)].join(' ');
  return Buffer.byteLength(form) > MAX_VALUE ? '' : form;
}

/** Rows `session`, `value` of all executions, in the form that `formOf` returns. */
export function formsSql(sessions: string): string {
  const program = `arrayElement(splitByChar('/', path), -1)`;
  const words = `arraySlice(splitByChar(' ', name), 2)`;
  const options = `arraySlice(arrayFilter(word -> match(word, '${OPTION}'), ${words}), 1, ${MAX_OPTIONS})`;
  const subcommand = `arrayFilter(word -> match(word, '${WORD}'), arraySlice(${words}, 1, 1))`;
  return (
    `SELECT session, arrayStringConcat(arrayConcat([${program}], ${subcommand}, ${options}), ' ') AS value FROM events ` +
    `WHERE source = 'kernel' AND kind = 'exec' AND session IN (${sessions}) AND ${program} != '' AND length(value) <= ${MAX_VALUE}`
  );
}
