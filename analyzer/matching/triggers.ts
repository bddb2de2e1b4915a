/**
 * What must be in an event for a rule to match it: literals of which at least one is there whenever the rule matches. A rule is
 * evaluated for an event only if one of its triggers is found, so a set that is too small would lose matches, and one that is too
 * large only costs time. Tested in triggers.test.ts and by matcher.test.ts, where every rule is evaluated without them as well.
 */
import { requiredPiece } from '#stores/events/queries/screen-text.js';
import type { Field } from '../predicate/field.js';
import { ANY, fold, longestPiece } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';
import type { Predicate, Test } from '../predicate/predicate.js';
import type { Regex } from '../predicate/regex.js';
import type { Literal } from './automaton.js';

export interface Trigger extends Literal {
  readonly field: Field;
}

interface Choice {
  readonly triggers: readonly Trigger[];
  /** How often an event is expected to have one of them: a guess, for choosing. */
  readonly cost: number;
}

/** Null: there is no such set, and the rule must be evaluated for every event. */
export function triggersOf(predicate: Predicate<Field>): readonly Trigger[] | null {
  return choose(predicate)?.triggers ?? null;
}

function choose(predicate: Predicate<Field>): Choice | null {
  switch (predicate.kind) {
    case 'truth':
      return predicate.truth ? null : { triggers: [], cost: 0 };
    case 'not':
      return null;
    case 'all': {
      const choices = predicate.of.map(choose).filter((choice) => choice !== null);
      return choices.reduce<Choice | null>((best, choice) => (best === null || choice.cost < best.cost ? choice : best), null);
    }
    case 'any': {
      const choices = predicate.of.map(choose);
      if (!choices.every((choice) => choice !== null)) return null;
      return { triggers: choices.flatMap(({ triggers }) => triggers), cost: choices.reduce((sum, { cost }) => sum + cost, 0) };
    }
    case 'test': {
      const literal = literalOf(predicate.test);
      if (literal === null) return null;
      const length = Math.min(24, literal.text.length + (literal.start && literal.end ? 4 : 0));
      // Fields inside `data` cost the parsing of its JSON for every event.
      const weight = predicate.field.kind === 'data' ? 64 : 1;
      return { triggers: [{ ...literal, field: predicate.field }], cost: weight / 2 ** length };
    }
  }
}

function literalOf(test: Test<Field>): Literal | null {
  switch (test.kind) {
    case 'pattern':
      return literalOfPattern(test.pattern);
    case 'regex': {
      const text = pieceOf(test.regex);
      return text === undefined ? null : { text, start: false, end: false };
    }
    default:
      return null;
  }
}

function literalOfPattern(pattern: Pattern): Literal | null {
  const text = longestPiece(pattern);
  if (text === undefined) return null;
  const at = pattern.indexOf(text);
  return { text: fold(text), start: at === 0, end: at === pattern.length - 1 && !pattern.includes(ANY, at) };
}

/**
 * A text that every match of the expression contains, in lower case. Without regard to case RE2 takes U+212A for a k and U+017F
 * for an s, and has cases beyond A to Z: the text is cut there.
 */
function pieceOf({ text, flags }: Regex): string | undefined {
  const [leading = '', letters = ''] = /^\(\?([ims]+)\)/.exec(text) ?? [];
  const piece = requiredPiece(text.slice(leading.length));
  if (piece === undefined) return undefined;
  if (!flags.includes('i') && !letters.includes('i')) return fold(piece);
  const [longest = ''] = piece.split(/[kKsS]|[^\u0000-\u007f]+/).toSorted((a, b) => b.length - a.length);
  return longest.length < 2 ? undefined : fold(longest);
}
