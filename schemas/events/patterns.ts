/** What recurs over sessions, and what of it is compared: pure. Tested in stores/events/patterns-conformance.ts. */

/**
 * A command without what differs each time: the program, and the word after it where that is one of lower-case letters, as a verb is. '' for
 * what names no program. The event store writes the same in SQL (`commandShapeSql`).
 */
export function commandShape(text: string): string {
  const program = new RegExp(PROGRAM).exec(text)?.[1] ?? '';
  const verb = new RegExp(VERB).exec(text)?.[1] ?? '';
  return program === '' ? '' : `${program} ${verb}`.trimEnd().slice(0, MAX_SHAPE);
}

const MAX_SHAPE = 80;
/** In the language that JavaScript and RE2 share. */
const PROGRAM = '^[ \\t]*(?:sudo[ \\t]+)?(?:[^ \\t]*/)?([A-Za-z0-9_][A-Za-z0-9_.+-]*)';
const VERB = '^[ \\t]*(?:sudo[ \\t]+)?[^ \\t]+[ \\t]+([a-z][a-z-]+)(?:[ \\t]|$)';

/** `column`: of SQL, a text. */
export function commandShapeSql(column: string): string {
  const extracted = (pattern: string): string => `extract(${column}, '${pattern.replaceAll('\\', '\\\\')}')`;
  return `if(${extracted(PROGRAM)} = '', '', substring(trimRight(concat(${extracted(PROGRAM)}, ' ', ${extracted(VERB)})), 1, ${MAX_SHAPE}))`;
}

/** A command in sessions with findings, and in the others. */
interface CommandPattern {
  readonly command: string;
  /** Sessions with a finding in which it ran before the first one, or with it. */
  readonly before: number;
  /** Sessions without a finding in which it ran. */
  readonly others: number;
  /** How many times as often it is in the first as in the others (`liftOf`). */
  readonly lift: number;
  /** The newest of the sessions with a finding, at most three. */
  readonly sessions: readonly string[];
}

/** Of a node. */
interface NodePattern {
  readonly node: string;
  readonly sessions: number;
  readonly incidents: number;
}

/** Of an hour of the week in UTC: `day` 1 is Monday. */
interface HourPattern {
  readonly day: number;
  readonly hour: number;
  readonly sessions: number;
  readonly incidents: number;
}

export interface Patterns {
  readonly sessions: number;
  /** Sessions with a finding that was not told to be a false alarm. */
  readonly incidents: number;
  /** Sessions of which commands are known: those with kernel events, marks of the shell, or a command of their own. */
  readonly known: number;
  /** Those that ran before at least two incidents, the most telling first. */
  readonly commands: readonly CommandPattern[];
  /** The one with most incidents first. */
  readonly nodes: readonly NodePattern[];
  /** In order; hours without sessions are left out. */
  readonly hours: readonly HourPattern[];
}

/** A session that ran the same commands as another. */
export interface AlikeSession {
  readonly session: string;
  /** Commands in both, and in either: their quotient is how alike they are. */
  readonly shared: number;
  readonly either: number;
  /** Of those in both, in order of the alphabet, at most eight. */
  readonly commands: readonly string[];
}

/** Half a session is added on either side: what was seen once is no proof. */
export function liftOf(counts: {
  readonly before: number;
  readonly incidents: number;
  readonly others: number;
  readonly calm: number;
}): number {
  const { before, incidents, others, calm } = counts;
  return ((before + 0.5) * (calm + 1)) / ((incidents + 1) * (others + 0.5));
}
