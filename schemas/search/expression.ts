/**
 * A search as a tree, which parse.ts produces, print.ts formats, and stores evaluate.
 *
 * A search is evaluated on one row at a time: a screen line, the command of a session, an event, an audit row or a finding. It
 * holds or does not; a field that the row lacks satisfies no comparison, so a negation holds. Fields of the session (`label:`,
 * `request:`, `has:`) hold for every row of a session that has them.
 */
import type { SearchField } from './fields.js';

export type SearchExpression =
  | { readonly kind: 'all' | 'any'; readonly of: readonly SearchExpression[] }
  | { readonly kind: 'not'; readonly of: SearchExpression }
  | { readonly kind: 'text'; readonly match: TextMatch }
  | { readonly kind: 'field'; readonly field: SearchField; readonly match: FieldMatch };

/** Always case-insensitive. */
export type TextMatch =
  /** The word (a run of letters and digits) occurs in the text, with neither letter nor digit next to it. */
  | { readonly kind: 'word'; readonly text: string }
  /** The characters occur in the text literally. */
  | { readonly kind: 'phrase'; readonly text: string }
  /** As `phrase`, where `*` matches any number of non-blank characters. `pattern`: has at least one unescaped `*`. */
  | { readonly kind: 'glob'; readonly pattern: string }
  /** An RE2 expression matches somewhere in the text. */
  | { readonly kind: 'regex'; readonly source: string };

export type FieldMatch =
  /** The whole value, where `*` is any number of characters; `\*` is an asterisk and `\\` a backslash. */
  | { readonly kind: 'pattern'; readonly pattern: string }
  | { readonly kind: 'regex'; readonly source: string }
  /** Both bounds inclusive, but for moments `to` is exclusive. ms since 1970, bytes, or a plain number. */
  | { readonly kind: 'range'; readonly from: number | null; readonly to: number | null };

/** The pieces between the asterisks of a pattern, unescaped: `a*b\*` gives `a` and `b*`. */
export function piecesOf(pattern: string): readonly string[] {
  const pieces: string[] = [''];
  for (let i = 0; i < pattern.length; i += 1) {
    const character = pattern[i]!;
    if (character === '*') pieces.push('');
    else {
      if (character === '\\' && i + 1 < pattern.length) i += 1;
      pieces[pieces.length - 1] += pattern[i]!;
    }
  }
  return pieces;
}

/** A pattern that matches exactly this text. */
export function escapePattern(text: string): string {
  return text.replace(/[\\*]/g, '\\$&');
}

/** Whether an address is meant as a block, as in `10.0.0.0/8`; `/run/x.sock` is a path. */
export function looksLikeBlock(text: string): boolean {
  return /^[0-9a-f.:]+\/\d+$/i.test(text);
}
