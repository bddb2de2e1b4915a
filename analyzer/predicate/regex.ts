/**
 * Regular expressions, in the syntax of RE2 and with its guarantee: time linear in the text, for any expression. Sigma specifies PCRE;
 * look-around, backreferences and possessive quantifiers have no linear matcher and are refused. ClickHouse's `match` is RE2 itself;
 * here RE2JS, a port of it, decides the same. Tested in regex.test.ts, and against ClickHouse in ../clickhouse/agreement.test.ts.
 */
import { RE2JS } from 're2js';

/** Instructions of the compiled program. RE2 in ClickHouse has 8 MiB for a program and its states, which this is well below. */
const MAX_PROGRAM = 5_000;
const MAX_LENGTH = 2_048;

export interface Regex {
  readonly text: string;
  readonly flags: readonly Flag[];
  /** With its flags in front: `(?-s)` is not ClickHouse's default, where a dot matches a line end. */
  readonly source: string;
  readonly program: RE2JS;
}

export type Flag = 'i' | 'm' | 's';

/** Throws a RegexError that describes the fault. */
export function compileRegex(text: string, flags: readonly Flag[]): Regex {
  if (text.length > MAX_LENGTH) throw new RegexError(`is longer than ${MAX_LENGTH} characters`);
  if (text.includes('\0')) throw new RegexError('has a NUL in it');
  const on = [...new Set(flags)].sort().join('');
  const source = `(?${on}${flags.includes('s') ? '' : '-s'})${text}`;
  let program;
  try {
    program = RE2JS.compile(source);
  } catch (cause) {
    throw new RegexError(explained(text, cause instanceof Error ? cause.message : String(cause)));
  }
  const size = program.programSize();
  if (size > MAX_PROGRAM) throw new RegexError(`needs ${size} steps where ${MAX_PROGRAM} are allowed: repeat less`);
  return { text, flags, source, program };
}

export class RegexError extends Error {}

function explained(text: string, message: string): string {
  if (/\(\?<?[=!]/.test(text)) return 'looks ahead or behind, which no matcher of linear time can: write it as two conditions';
  if (/\\[1-9]/.test(text)) return 'refers back to a group, which no matcher of linear time can';
  if (/[*+?}]\+/.test(text)) return 'has a possessive quantifier, which RE2 has not: leave the second + out';
  return `is no expression of RE2: ${message.replace(/^error parsing regexp: /, '').replaceAll('`', "'")}`;
}
