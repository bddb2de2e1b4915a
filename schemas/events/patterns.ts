/** Patterns over sessions, and the form in which commands are compared. Pure. Tested in stores/events/patterns-conformance.ts. */

/**
 * A command without its variable parts: the program, and the next word if it consists of lower-case letters, as a verb does. '' if the
 * text names no program. The event store computes the same in SQL (`commandShapeSql`).
 */
export function commandShape(text: string): string {
  const program = new RegExp(PROGRAM).exec(text)?.[1] ?? '';
  const verb = new RegExp(VERB).exec(text)?.[1] ?? '';
  return program === '' ? '' : `${program} ${verb}`.trimEnd().slice(0, MAX_SHAPE);
}

const MAX_SHAPE = 80;
/** Valid in both JavaScript and RE2. */
const PROGRAM = '^[ \\t]*(?:sudo[ \\t]+)?(?:[^ \\t]*/)?([A-Za-z0-9_][A-Za-z0-9_.+-]*)';
const VERB = '^[ \\t]*(?:sudo[ \\t]+)?[^ \\t]+[ \\t]+([a-z][a-z-]+)(?:[ \\t]|$)';

/** `column`: SQL for a text. */
export function commandShapeSql(column: string): string {
  const extracted = (pattern: string): string => `extract(${column}, '${pattern.replaceAll('\\', '\\\\')}')`;
  return `if(${extracted(PROGRAM)} = '', '', substring(trimRight(concat(${extracted(PROGRAM)}, ' ', ${extracted(VERB)})), 1, ${MAX_SHAPE}))`;
}

/** A command in sessions with findings, and in the others. */
interface CommandPattern {
  readonly command: string;
  /** Sessions with a finding in which it ran before or at the first finding. */
  readonly before: number;
  /** Sessions without a finding in which it ran. */
  readonly others: number;
  /** How many times more often it occurs in the former than in the latter (`liftOf`). */
  readonly lift: number;
  /** The newest of the sessions with a finding, at most three. */
  readonly sessions: readonly string[];
}

/** Sessions of a node. */
interface NodePattern {
  readonly node: string;
  readonly sessions: number;
  readonly incidents: number;
}

/** Sessions of an hour of the week in UTC; `day` 1 is Monday. */
interface HourPattern {
  readonly day: number;
  readonly hour: number;
  readonly sessions: number;
  readonly incidents: number;
}

export interface Patterns {
  readonly sessions: number;
  /** Sessions with a finding that was not dismissed as a false alarm. */
  readonly incidents: number;
  /** Sessions whose commands are known: those with kernel events, marks of the shell, or a command in the request. */
  readonly known: number;
  /** Commands that ran before at least two incidents, the most significant first. */
  readonly commands: readonly CommandPattern[];
  /** The node with most incidents first. */
  readonly nodes: readonly NodePattern[];
  /** In order; hours without sessions are left out. */
  readonly hours: readonly HourPattern[];
}

/** A session that ran the same commands as another. */
export interface AlikeSession {
  readonly session: string;
  /** Number of commands in both sessions, and in either; the quotient is their similarity. */
  readonly shared: number;
  readonly either: number;
  /** At most eight of the commands in both, in alphabetical order. */
  readonly commands: readonly string[];
}

/** Adds half a session on either side, so that a single occurrence does not count as significant. */
export function liftOf(counts: {
  readonly before: number;
  readonly incidents: number;
  readonly others: number;
  readonly calm: number;
}): number {
  const { before, incidents, others, calm } = counts;
  return ((before + 0.5) * (calm + 1)) / ((incidents + 1) * (others + 0.5));
}
