/**
 * From what a person typed to conditions that the indexes of `screen` can answer.
 *
 * `words` is an inverted index of words and `grams` a Bloom filter of trigrams (see migration 1). The condition
 * that decides is always exact; those beside it only let the indexes skip. They follow from the exact one, so
 * they may be left out, never be wrong. From `/etc/shadow` follows that the line has the whole word `etc` and a
 * word containing `shadow`. Of a regular expression the longest piece that every match must contain is taken;
 * where none can be seen the lines are scanned, within the limits of time.
 * Tested in `screen-text.test.ts` and by `stores/events/conformance.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { SearchMode } from '../contract.js';
import type { Conditions } from './conditions.js';

/** The expressions of the two indexes, to the letter: an index serves no other spelling. */
const words = String.raw`lowerUTF8(replaceRegexpAll(text, '[^\\p{L}\\p{M}\\p{N}]+', ' '))`;
const folded = 'lowerUTF8(text)';

const separators = /[^\p{L}\p{M}\p{N}]+/u;
/** Below this the engine does not look a part of a word up in its dictionary. */
const shortestPart = 4;

export function addSearch(conditions: Conditions, text: string, mode: SearchMode): void {
  switch (mode) {
    case 'auto':
      addSearch(conditions, text, /^[\p{L}\p{M}\p{N}\s]+$/u.test(text) ? 'words' : 'substring');
      return;
    case 'words': {
      const wanted = splitWords(text);
      if (wanted.length === 0) throw new StenoError('BAD_REQUEST', 'text: no word in it');
      conditions.add(`hasAllTokens(${words}, {words:String})`, { words: wanted.join(' ') });
      return;
    }
    case 'substring': {
      const needle = text.toLowerCase();
      const { whole, part } = implied(needle);
      if (whole.length > 0) conditions.add(`hasAllTokens(${words}, {words:String})`, { words: whole.join(' ') });
      if (part !== undefined) conditions.add(`${words} LIKE {part:String}`, { part: `%${part}%` });
      conditions.add(`${folded} LIKE {needle:String}`, { needle: `%${escapeLike(needle)}%` });
      return;
    }
    case 'regex': {
      const piece = requiredPiece(text)?.toLowerCase();
      if (piece !== undefined) {
        const { part } = implied(piece);
        if (part !== undefined) conditions.add(`${words} LIKE {part:String}`, { part: `%${part}%` });
        conditions.add(`${folded} LIKE {piece:String}`, { piece: `%${escapeLike(piece)}%` });
      }
      conditions.add('match(text, {regex:String})', { regex: `(?i)${text}` });
    }
  }
}

export function splitWords(text: string): readonly string[] {
  return text
    .toLowerCase()
    .split(separators)
    .filter((word) => word !== '');
}

/** What the words of a line must be if it contains the (lower-case) needle. */
export function implied(needle: string): { readonly whole: readonly string[]; readonly part: string | undefined } {
  const pieces = needle.split(separators);
  // The first and the last piece may be the end and the beginning of longer words; '' if the needle is bounded.
  const open = [pieces[0], pieces.length > 1 ? pieces.at(-1) : undefined].filter(
    (piece) => piece !== undefined && piece.length >= shortestPart,
  );
  const part = open.sort((a, b) => (b?.length ?? 0) - (a?.length ?? 0))[0];
  return { whole: pieces.slice(1, -1).filter((word) => word !== ''), part };
}

/**
 * The longest text that every match of the RE2 expression contains, or undefined. Careful rather than clever:
 * alternatives, groups, classes and flags end a piece, a quantifier takes back the character before it.
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
      // Inside a group nothing counts: it may be an alternative, or optional as a whole.
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
        // Flags such as (?s) would change what follows; an expression with them is not looked into.
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
        // Of the character before a quantifier there may be none; `+` could keep it, but need not.
        piece = [...piece].slice(0, -1).join('');
        end();
        if (character === '{') {
          const repeat = /^\{\d+(?:,\d*)?\}/.exec(expression.slice(i, i + 16));
          // Anything else in braces is a text, which may hold an alternative.
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
          // \x41, \x{10FFFF}, \p{Greek}, \pN, \123: what follows is not looked into, so it must hold no alternative.
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
  // Shorter than a trigram serves no index.
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

/** `%` and `_` are wild in LIKE, and `\` escapes them. */
function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
