/**
 * The condition of a rule over its search identifiers:
 *
 *     or      = and ("or" and)*
 *     and     = not ("and" not)*
 *     not     = "not" not | "(" or ")" | ("1" | "any" | "all") "of" ("them" | pattern) | identifier
 *
 * `them` is every identifier that does not begin with `_`. In Sigma 1, a `|` was followed by an aggregation, which is skipped here:
 * rules that have one are listed, and not evaluated. Tested in condition.test.ts.
 */
import { ANY, matcherOf, patternOf } from '../predicate/pattern.js';
import { all, any, not } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import type { RuleField } from '../sources/mapping.js';

const MAX_TOKENS = 1_000;
const MAX_DEPTH = 64;

interface Token {
  readonly text: string;
  readonly at: number;
}

/** The position in the condition, and the fault. */
export class ConditionError extends Error {
  readonly at: number;
  readonly length: number;

  constructor(message: string, { at, text }: Token) {
    super(message);
    this.at = at;
    this.length = Math.max(1, text.length);
  }
}

export interface Condition {
  readonly predicate: Predicate<RuleField>;
  /** Sigma 1: the text after the `|`; null for none. */
  readonly aggregation: string | null;
}

/** Throws a ConditionError. */
export function parseCondition(text: string, selections: ReadonlyMap<string, Predicate<RuleField>>): Condition {
  const tokens = [...text.matchAll(/[()|]|[^\s()|]+/g)].map((match): Token => ({ text: match[0], at: match.index }));
  if (tokens.length > MAX_TOKENS) throw new ConditionError(`has more than ${MAX_TOKENS} words`, tokens[MAX_TOKENS]!);
  const end: Token = { text: '', at: Math.max(0, text.trimEnd().length - 1) };
  let next = 0;
  const peek = (): string => tokens[next]?.text ?? '';

  const chain = (word: 'or' | 'and', part: () => Predicate<RuleField>): Predicate<RuleField> => {
    const found = [part()];
    while (peek() === word) {
      next += 1;
      found.push(part());
    }
    return word === 'or' ? any(found) : all(found);
  };
  const either = (depth: number): Predicate<RuleField> => chain('or', () => chain('and', () => single(depth)));
  const single = (depth: number): Predicate<RuleField> => {
    const token = tokens[next] ?? end;
    if (depth > MAX_DEPTH) throw new ConditionError(`is nested deeper than ${MAX_DEPTH}`, token);
    next += 1;
    switch (token.text) {
      case '':
        throw new ConditionError('ends where a search identifier is expected', token);
      case 'not':
        return not(single(depth + 1));
      case '(': {
        const inner = either(depth + 1);
        if (peek() !== ')') throw new ConditionError(next < tokens.length ? 'expects and, or or )' : 'lacks a )', tokens[next] ?? end);
        next += 1;
        return inner;
      }
      case ')':
      case '|':
      case 'and':
      case 'or':
        throw new ConditionError(`expects a search identifier before ${token.text}`, token);
      case '1':
      case 'any':
      case 'all':
        if (peek() === 'of') {
          next += 1;
          return several(token, tokens[next++] ?? end);
        }
        break;
      default:
        if (peek() === 'of' && /^\d+$/.test(token.text)) throw new ConditionError('knows 1 of, any of and all of', token);
    }
    const selection = selections.get(token.text);
    if (selection === undefined)
      throw new ConditionError(`names ${JSON.stringify(token.text)}, which is no search identifier of this rule`, token);
    return selection;
  };
  const several = (quantity: Token, which: Token): Predicate<RuleField> => {
    if (which.text === '' || /^[()|]$/.test(which.text))
      throw new ConditionError(`expects them or a pattern behind ${quantity.text} of`, which);
    const isLike = matcherOf(patternOf(which.text.split('*').flatMap((part, i) => (i === 0 ? [part] : [ANY, part]))));
    const found = [...selections].filter(([name]) => (which.text === 'them' ? !name.startsWith('_') : isLike(name)));
    if (found.length === 0)
      throw new ConditionError(`names ${JSON.stringify(which.text)}, which no search identifier of this rule is like`, which);
    const predicates = found.map(([, predicate]) => predicate);
    return quantity.text === 'all' ? all(predicates) : any(predicates);
  };

  const predicate = either(0);
  const rest = tokens[next];
  if (rest === undefined) return { predicate, aggregation: null };
  if (rest.text === '|') return { predicate, aggregation: text.slice(rest.at + 1).trim() };
  throw new ConditionError('expects and or or', rest);
}
