/**
 * Turns a user's search text into conditions that the indexes of `screen` can answer.
 *
 * `words` is an inverted index of words and `grams` a Bloom filter of trigrams (see migration 1). The deciding condition is
 * always exact; the others only let the indexes skip. They are implied by the exact one, so they may be omitted but never
 * wrong. From `/etc/shadow` follows that the line has the whole word `etc` and a word containing `shadow`. For a regular
 * expression, the longest piece that every match must contain is used; if none is found the lines are scanned, within the
 * time limit. Tested in `text-match.test.ts` and by `stores/events/conformance.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { SearchMode } from '../contract.js';

/** A searchable text of a table. The expressions must match those of its indexes literally, or the index is not used. */
export interface TextColumn {
  /** Literal text. */
  readonly text: string;
  /** In lower case. */
  readonly folded: string;
  /** In lower case, with words separated. */
  readonly words: string;
  /** A separator between words. */
  readonly separators: RegExp;
  /** Whether the table has an index of `words`. Without one, nothing but the deciding condition is asked. */
  readonly indexed: boolean;
}

export const screenText: TextColumn = {
  text: 'text',
  folded: 'lowerUTF8(text)',
  words: String.raw`lowerUTF8(replaceRegexpAll(text, '[^\\p{L}\\p{M}\\p{N}]+', ' '))`,
  separators: /[^\p{L}\p{M}\p{N}]+/u,
  indexed: true,
};

/**
 * For events: paths, command lines, names and addresses. Non-ASCII characters count as part of words: blanking non-letters,
 * as on screens, costs 2.4 us per row where the index itself costs one, and these texts have no frames around words.
 */
const eventTexts = "concat(path, ' ', name, ' ', address)";
export const eventText: TextColumn = {
  text: eventTexts,
  folded: `lowerUTF8(${eventTexts})`,
  words: `lowerUTF8(${eventTexts})`,
  separators: /[\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f]+/,
  indexed: true,
};

/** The engine looks up parts of words in its dictionary only from this length. */
const shortestPart = 4;

/** Binds a value; returns its SQL. */
export type Bind = (value: string) => string;

export function textCondition(column: TextColumn, text: string, mode: SearchMode, bind: Bind): string {
  const { folded, words, indexed } = column;
  switch (mode) {
    case 'auto':
      return textCondition(column, text, /^[\p{L}\p{M}\p{N}\s]+$/u.test(text) ? 'words' : 'substring', bind);
    case 'words': {
      const wanted = splitWords(text, column.separators);
      if (wanted.length === 0) throw new StenoError('BAD_REQUEST', 'text: no word in it');
      return `hasAllTokens(${words}, ${bind(wanted.join(' '))})`;
    }
    case 'substring': {
      const needle = text.toLowerCase();
      const { whole, part } = implied(needle, column.separators);
      const parts: string[] = [];
      if (indexed && whole.length > 0) parts.push(`hasAllTokens(${words}, ${bind(whole.join(' '))})`);
      parts.push(...partOf(column, part, needle, bind), `${folded} LIKE ${bind(`%${escapeLike(needle)}%`)}`);
      return parts.join(' AND ');
    }
    case 'regex': {
      const parts: string[] = [];
      const piece = requiredPiece(text)?.toLowerCase();
      if (piece !== undefined) {
        const { part } = implied(piece, column.separators);
        parts.push(...partOf(column, part, piece, bind), `${folded} LIKE ${bind(`%${escapeLike(piece)}%`)}`);
      }
      parts.push(`match(${column.text}, ${bind(`(?i)${text}`)})`);
      return parts.join(' AND ');
    }
  }
}

/** The index looks up one part of a word at a time: a needle with a separator in it is not looked up by itself. */
function partOf({ words, folded, indexed }: TextColumn, part: string | undefined, needle: string, bind: Bind): readonly string[] {
  const needed = indexed && part !== undefined && (words !== folded || part !== needle);
  return needed ? [`${words} LIKE ${bind(`%${part}%`)}`] : [];
}

export function splitWords(text: string, separators = screenText.separators): readonly string[] {
  return text
    .toLowerCase()
    .split(separators)
    .filter((word) => word !== '');
}

/** Words that a line must contain if it contains the (lower-case) needle. */
export function implied(
  needle: string,
  separators = screenText.separators,
): { readonly whole: readonly string[]; readonly part: string | undefined } {
  const pieces = needle.split(separators);
  // The first and the last piece may be the end and the beginning of longer words; '' if the needle is bounded.
  const open = [pieces[0], pieces.length > 1 ? pieces.at(-1) : undefined].filter(
    (piece) => piece !== undefined && piece.length >= shortestPart,
  );
  const part = open.sort((a, b) => (b?.length ?? 0) - (a?.length ?? 0))[0];
  return { whole: pieces.slice(1, -1).filter((word) => word !== ''), part };
}

/**
 * The longest text that every match of the RE2 expression contains, or undefined. Conservative: alternatives, groups,
 * classes and flags end a piece, and a quantifier removes the character before it.
 */
export function requiredPiece(expression: string): string | undefined {
  if (expression.includes('\\Q')) return undefined;
  const pieces: string[] = [];
  let piece = '';
  const end = (): void => {
    pieces.push(piece);
    piece = '';
  };
  let depth = 0;
  for (let i = 0; i < expression.length; i += 1) {
    const character = expression[i]!;
    if (depth > 0) {
      // Ignore text inside a group: it may be an alternative, or the group may be optional.
      if (character === '\\') i += 1;
      else if (character === '[') i = endOfClass(expression, i);
      else if (character === '(') depth += 1;
      else if (character === ')') depth -= 1;
      continue;
    }
    switch (character) {
      case '|':
        return undefined;
      case '(':
        // Flags such as (?s) change the meaning of the rest, so do not analyze an expression with flags.
        if (expression.startsWith('(?', i) && !expression.startsWith('(?:', i)) return undefined;
        end();
        depth = 1;
        break;
      case '[':
        end();
        i = endOfClass(expression, i);
        break;
      case '.':
      case '^':
      case '$':
        end();
        break;
      case '*':
      case '?':
      case '+':
      case '{':
        // The character before a quantifier may occur zero times; with `+` it occurs, but dropping it is safe too.
        piece = [...piece].slice(0, -1).join('');
        end();
        if (character === '{') {
          const repeat = /^\{\d+(?:,\d*)?\}/.exec(expression.slice(i, i + 16));
          // Other text in braces is literal and may contain an alternative.
          if (repeat === null) return undefined;
          i += repeat[0].length - 1;
        }
        break;
      case '\\': {
        const next = expression[i + 1];
        i += 1;
        if (next !== undefined && /[^A-Za-z0-9]/.test(next)) piece += next;
        else {
          end();
          // \x41, \x{10FFFF}, \p{Greek}, \pN, \123: the rest is not analyzed, so it must not contain an alternative.
          if (next === undefined || !/[bBdDsSwWAz]/.test(next)) return expression.includes('|', i) ? undefined : longest(pieces);
        }
        break;
      }
      default:
        piece += character;
    }
  }
  end();
  return longest(pieces);
}

function longest(pieces: readonly string[]): string | undefined {
  const best = [...pieces].sort((a, b) => b.length - a.length)[0];
  // No index can use a text shorter than a trigram.
  return best === undefined || best.length < 3 ? undefined : best;
}

/** The index of the `]` that ends the class at `start`, or the end of the text. */
function endOfClass(expression: string, start: number): number {
  let i = start + 1;
  if (expression[i] === '^') i += 1;
  if (expression[i] === ']') i += 1;
  for (; i < expression.length; i += 1) {
    if (expression[i] === '\\') i += 1;
    else if (expression.startsWith('[:', i)) {
      const close = expression.indexOf(':]', i);
      if (close !== -1) i = close + 1;
    } else if (expression[i] === ']') return i;
  }
  return expression.length;
}

/** `%` and `_` are wildcards in LIKE, and `\` escapes them. */
export function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
