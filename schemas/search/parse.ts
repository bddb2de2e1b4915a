/**
 * The language of searches, in the page, in `steno search` and in the API. docs/search.md explains it to users.
 *
 *     search  = or
 *     or      = and { "or" and }
 *     and     = unary { [ "and" ] unary }
 *     unary   = ( "-" | "not" ) unary | "(" or ")" | text | field
 *     text    = word | "phrase" | /regex/
 *     field   = NAME ":" ( value | "(" values ")" )
 *     values  = value { [ "or" ] value }
 *     value   = word | "phrase" | /regex/ | [ "<" | "<=" | ">" | ">=" ] number | number ".." number
 *
 * A blank between two terms means `and`. `and`, `or` and `not` are keywords in lower and upper case; `\or` and `"or"` are text.
 * Errors are SearchErrors with the offset of the character. Limits: 1,000 characters, 64 terms, 16 levels. Tested in
 * parse.test.ts: output of print.ts parses to the same tree.
 */
import { parseBlock } from '../base/ip-address.js';
import { suggestion } from '../base/suggestion.js';
import type { FieldMatch, SearchExpression, TextMatch } from './expression.js';
import { escapePattern, looksLikeBlock, piecesOf } from './expression.js';
import { fieldFacts, isSearchField, searchFields } from './fields.js';
import type { SearchField } from './fields.js';
import { readTokens, SearchError } from './lexer.js';
import type { Token } from './lexer.js';
import { numberOf, spanOf } from './moments.js';

export const MAX_SEARCH = 1000;
const MAX_TERMS = 64;
const MAX_DEPTH = 16;

/** `now`: the reference for `2h` and `today`. Throws a SearchError. */
export function parseSearch(search: string, now: number): SearchExpression {
  if (search.length > MAX_SEARCH) throw new SearchError(`a search has at most ${MAX_SEARCH} characters`, MAX_SEARCH);
  const parser = new Parser(search, readTokens(search), now);
  return parser.whole();
}

const keywords: ReadonlySet<string> = new Set(['and', 'or', 'not', 'AND', 'OR', 'NOT']);

class Parser {
  readonly #search: string;
  readonly #tokens: readonly Token[];
  readonly #now: number;
  #next = 0;
  #terms = 0;
  #depth = 0;

  constructor(search: string, tokens: readonly Token[], now: number) {
    this.#search = search;
    this.#tokens = tokens;
    this.#now = now;
  }

  whole(): SearchExpression {
    if (this.#tokens.length === 0) throw new SearchError('there is nothing to search for', 0);
    const found = this.#or();
    const rest = this.#peek();
    if (rest !== undefined) throw new SearchError('a closing parenthesis without an opening one', rest.at);
    return found;
  }

  #or(): SearchExpression {
    const of = [this.#and()];
    while (this.#keyword('or')) of.push(this.#and());
    return join('any', of);
  }

  #and(): SearchExpression {
    const of = [this.#unary()];
    for (;;) {
      const explicit = this.#keyword('and');
      const token = this.#peek();
      if (token === undefined || token.kind === 'close' || isKeyword(token, 'or')) {
        if (explicit) throw this.#lacking('a term after "and"');
        return join('all', of);
      }
      of.push(this.#unary());
    }
  }

  #unary(): SearchExpression {
    const token = this.#peek();
    if (token === undefined) throw this.#lacking('a term');
    if (token.kind === 'minus' || isKeyword(token, 'not')) {
      this.#next += 1;
      return this.#nested(token, () => ({ kind: 'not', of: this.#unary() }));
    }
    if (isKeyword(token, 'or') || isKeyword(token, 'and'))
      throw new SearchError(`"${token.text}" stands between two terms; write \\${token.text} to search for the word`, token.at);
    this.#next += 1;
    if (token.kind === 'open') {
      const inner = this.#nested(token, () => this.#or());
      this.#close(token);
      return inner;
    }
    if (token.kind === 'close') throw new SearchError('nothing stands between the parentheses, or one too many is closed', token.at);
    if (++this.#terms > MAX_TERMS) throw new SearchError(`a search has at most ${MAX_TERMS} terms`, token.at);
    return token.kind === 'field' ? this.#field(token) : { kind: 'text', match: textMatch(token) };
  }

  #nested(token: Token, read: () => SearchExpression): SearchExpression {
    if (++this.#depth > MAX_DEPTH) throw new SearchError(`a search nests at most ${MAX_DEPTH} levels`, token.at);
    const found = read();
    this.#depth -= 1;
    return found;
  }

  #field(token: Token): SearchExpression {
    const field = token.text;
    if (!isSearchField(field)) throw unknownField(token);
    const value = this.#tokens[this.#next];
    if (value === undefined || value.at !== token.end)
      throw new SearchError(`${field}: needs a value directly after the colon, as in ${fieldFacts(field).example}`, token.end);
    this.#next += 1;
    if (value.kind !== 'open') return { kind: 'field', field, match: this.#match(field, value) };
    const of: SearchExpression[] = [];
    for (;;) {
      const item = this.#peek();
      if (item === undefined || item.kind === 'close') break;
      this.#next += 1;
      if (isKeyword(item, 'or')) continue;
      if (++this.#terms > MAX_TERMS) throw new SearchError(`a search has at most ${MAX_TERMS} terms`, item.at);
      of.push({ kind: 'field', field, match: this.#match(field, item) });
    }
    this.#close(value);
    if (of.length === 0) throw new SearchError(`${field}: has no value`, value.at);
    return join('any', of);
  }

  #match(field: SearchField, token: Token): FieldMatch {
    if (token.kind !== 'word' && token.kind !== 'phrase' && token.kind !== 'regex')
      throw new SearchError(`${field}: needs a value here; put one with special characters in quotation marks`, token.at);
    const { takes, choices, example } = fieldFacts(field);
    const fault = (what: string): SearchError => new SearchError(`${field}: ${what}, as in ${example}`, token.at);
    switch (takes) {
      case 'number':
      case 'bytes':
        return rangeOf(token.text, (text) => numberOf(text, takes === 'bytes')) ?? raise(fault('takes a number or a range'));
      case 'moment':
        return this.#moment(field, token.text) ?? raise(fault('takes a moment of UTC, or how long ago'));
      case 'choice':
        if (token.kind !== 'regex' && choices!.includes(token.text.toLowerCase()))
          return { kind: 'pattern', pattern: token.text.toLowerCase() };
        throw fault(`is one of ${choices!.join(', ')}`);
      case 'label':
        if (token.kind === 'regex') throw fault('takes KEY=VALUE or KEY');
        break;
      default:
        break;
    }
    if (token.kind === 'regex') return { kind: 'regex', source: token.text };
    // In quotation marks an asterisk is still a wildcard: the marks only allow blanks.
    const pattern = token.kind === 'phrase' ? token.text.replaceAll('\\', '\\\\') : token.text;
    if (pattern === '') throw fault('needs a value');
    if (takes === 'address' && looksLikeBlock(pattern) && parseBlock(pattern) === undefined)
      throw fault('takes an address, or a block whose bits after the prefix are zero');
    return { kind: 'pattern', pattern: normal(pattern) };
  }

  #moment(field: SearchField, text: string): FieldMatch | null {
    const [first, last, ...more] = text.split('..');
    const a = spanOf(first ?? '', this.#now);
    if (field !== 'during')
      return last !== undefined || a === null
        ? null
        : { kind: 'range', from: field === 'after' ? a.from : null, to: field === 'before' ? a.from : null };
    const b = last === undefined ? a : spanOf(last, this.#now);
    if (a === null || b === null || more.length > 0) return null;
    // A single moment has no length, so `during:2h` means everything since then.
    const to = last === undefined && a.from === a.to ? this.#now : b.to;
    return to <= a.from ? null : { kind: 'range', from: a.from, to };
  }

  #close(open: Token): void {
    if (this.#peek()?.kind !== 'close') throw new SearchError('the parenthesis is never closed', open.at);
    this.#next += 1;
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#next];
  }

  #keyword(word: string): boolean {
    const token = this.#peek();
    if (token === undefined || !isKeyword(token, word)) return false;
    this.#next += 1;
    return true;
  }

  #lacking(what: string): SearchError {
    return new SearchError(`the search ends where ${what} should stand`, this.#search.length);
  }
}

function raise(error: Error): never {
  throw error;
}

function isKeyword({ kind, text }: Token, word: string): boolean {
  return kind === 'word' && keywords.has(text) && text.toLowerCase() === word;
}

function join(kind: 'all' | 'any', of: readonly SearchExpression[]): SearchExpression {
  const flat = of.flatMap((one) => (one.kind === kind ? one.of : [one]));
  return flat.length === 1 ? flat[0]! : { kind, of: flat };
}

function textMatch({ kind, text, at }: Token): TextMatch {
  if (kind === 'regex') return { kind: 'regex', source: text };
  if (kind === 'phrase') {
    if (text.trim() === '') throw new SearchError('there is no text between the quotation marks', at);
    return { kind: 'phrase', text };
  }
  const pieces = piecesOf(text);
  if (pieces.length > 1) return { kind: 'glob', pattern: normal(text) };
  const plain = pieces[0]!;
  return /^[\p{L}\p{M}\p{N}]+$/u.test(plain) ? { kind: 'word', text: plain } : { kind: 'phrase', text: plain };
}

/** The canonical form of a pattern, in which only `*` and `\` are escaped. */
function normal(pattern: string): string {
  return piecesOf(pattern).map(escapePattern).join('*');
}

function rangeOf(text: string, read: (text: string) => number | null): FieldMatch | null {
  const compare = /^(<=|>=|<|>)(.*)$/.exec(text);
  if (compare !== null) {
    const value = read(compare[2]!);
    if (value === null) return null;
    const [from, to] = { '<': [null, value - 1], '<=': [null, value], '>': [value + 1, null], '>=': [value, null] }[compare[1] as '<'];
    return { kind: 'range', from: from ?? null, to: to ?? null };
  }
  const [first, last, ...more] = text.split('..');
  if (more.length > 0) return null;
  const from = read(first ?? '');
  const to = last === undefined ? from : read(last);
  return from === null || to === null || to < from ? null : { kind: 'range', from, to };
}

function unknownField({ text, at }: Token): SearchError {
  return new SearchError(
    `there is no field "${text}"${suggestion(text, Object.keys(searchFields))} To search for the text, put it in quotation marks`,
    at,
  );
}
