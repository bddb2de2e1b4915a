/**
 * Splits a search into words, each with its position.
 *
 *     word      a run without blanks, quotes, parentheses; `\` escapes the next character
 *     "phrase"  `\"` and `\\` inside
 *     /regex/   from a `/` to the next one, if a blank, `)` or the end follows that; so `/etc/shadow` is a word. `\/` is a slash
 *
 * A word ends at its first colon if only letters precede it: then it is a field.
 */
import { isSearchField } from './fields.js';

export interface Token {
  readonly kind: 'open' | 'close' | 'minus' | 'field' | 'word' | 'phrase' | 'regex';
  /** A word as written, including escapes; a phrase or regex without its delimiters. */
  readonly text: string;
  /** Offsets in the search. */
  readonly at: number;
  readonly end: number;
}

/** `at`: offset of the wrong character. */
export class SearchError extends Error {
  readonly at: number;
  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

export function readTokens(search: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let value = false;
  while (at < search.length) {
    const character = search[at]!;
    if (/\s/.test(character)) {
      at += 1;
      value = false;
      continue;
    }
    const token: Token = value ? readValue(search, at) : readToken(search, at);
    tokens.push(token);
    at = token.end;
    value = token.kind === 'field';
  }
  return tokens;
}

function readToken(search: string, at: number): Token {
  const character = search[at]!;
  if (character === '(') return { kind: 'open', text: '(', at, end: at + 1 };
  if (character === ')') return { kind: 'close', text: ')', at, end: at + 1 };
  if (character === '-' && /[^\s)]/.test(search[at + 1] ?? ' ')) return { kind: 'minus', text: '-', at, end: at + 1 };
  const field = /^([a-z][a-z0-9_]*):/i.exec(search.slice(at, at + 40));
  if (field !== null) {
    const [whole, name] = field as unknown as readonly [string, string];
    const next = search.slice(at + whole.length, at + whole.length + 1);
    // `std::vector`, `https://…` and `error: ` are text, unless a field has that name.
    if (next !== ':' && (isSearchField(name.toLowerCase()) || !/^[\s/)]?$/.test(next)))
      return { kind: 'field', text: name.toLowerCase(), at, end: at + whole.length };
  }
  return readValue(search, at);
}

function readValue(search: string, at: number): Token {
  const character = search[at]!;
  if (character === '(') return { kind: 'open', text: '(', at, end: at + 1 };
  if (character === '"') return readPhrase(search, at);
  if (character === '/') {
    const end = endOfRegex(search, at);
    if (end !== null) return { kind: 'regex', text: search.slice(at + 1, end).replaceAll('\\/', '/'), at, end: end + 1 };
  }
  let end = at;
  while (end < search.length && !/[\s()"]/.test(search[end]!)) {
    if (search[end] === '\\') {
      if (end + 1 >= search.length) throw new SearchError('a backslash at the end escapes nothing', end);
      end += 1;
    }
    end += 1;
  }
  if (end === at) throw new SearchError(`${JSON.stringify(character)} has no meaning here`, at);
  return { kind: 'word', text: search.slice(at, end), at, end };
}

function readPhrase(search: string, at: number): Token {
  let text = '';
  for (let i = at + 1; i < search.length; i += 1) {
    const character = search[i]!;
    if (character === '"') return { kind: 'phrase', text, at, end: i + 1 };
    if (character === '\\' && (search[i + 1] === '"' || search[i + 1] === '\\')) i += 1;
    text += search[i]!;
  }
  throw new SearchError('the quotation mark is never closed', at);
}

/** Offset of the closing slash; null if there is none, so that the word is a path. */
function endOfRegex(search: string, at: number): number | null {
  for (let i = at + 1; i < search.length; i += 1) {
    if (search[i] === '\\') i += 1;
    else if (search[i] === '/') return i > at + 1 && /^(?:[\s)]|$)/.test(search.slice(i + 1, i + 2)) ? i : null;
  }
  return null;
}
