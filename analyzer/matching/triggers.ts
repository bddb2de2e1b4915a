/**
 * Derives the triggers of a rule: literals of which at least one is in every event that the rule matches. A rule is evaluated for an
 * event only if one of its triggers is found, so a set that is too small would lose matches, and one that is too large only costs time.
 * Tested in triggers.test.ts and by matcher.test.ts, where every rule is evaluated without triggers as well.
 */
import type { Field } from '../predicate/field.js';
import { ANY, fold, longestPiece } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';
import type { Predicate, Test } from '../predicate/predicate.js';
import type { Regex } from '../predicate/regex.js';
import type { Literal } from './automaton.js';
import { literalsOf } from './regex-literals.js';

export interface Trigger extends Literal {
  readonly field: Field;
}

interface Choice {
  readonly triggers: readonly Trigger[];
  /** Estimated frequency of events that contain one of the literals, used to choose between sets. */
  readonly cost: number;
}

/** Null: there is no such set, so the rule must be evaluated for every event. */
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
      const literals = literalsOfTest(predicate.test);
      if (literals === null) return null;
      // A field inside `data` requires parsing JSON for every event; a normal form also requires parsing a command line.
      const weight = { data: 64, derived: 512, text: 1, number: 1, other: 1 }[predicate.field.kind];
      const costOf = ({ text, start, end }: Literal): number => weight / 2 ** Math.min(24, text.length + (start && end ? 4 : 0));
      return {
        triggers: literals.map((literal) => ({ ...literal, field: predicate.field })),
        cost: literals.reduce((sum, literal) => sum + costOf(literal), 0),
      };
    }
  }
}

/** Several matchers of one set of rules search for the same expressions. */
const literalsOfRegexes = new WeakMap<Regex, readonly Literal[] | null>();

function literalsOfRegex(regex: Regex): readonly Literal[] | null {
  const before = literalsOfRegexes.get(regex);
  if (before !== undefined) return before;
  const texts = literalsOf(regex.text, regex.flags.includes('i'));
  const literals = texts?.map((text) => ({ text: foldTrigger(text), start: false, end: false })) ?? null;
  literalsOfRegexes.set(regex, literals);
  return literals;
}

function literalsOfTest(test: Test<Field>): readonly Literal[] | null {
  switch (test.kind) {
    case 'pattern': {
      const literal = literalOfPattern(test.pattern);
      return literal === null ? null : [literal];
    }
    case 'regex':
      return literalsOfRegex(test.regex);
    default:
      return null;
  }
}

function literalOfPattern(pattern: Pattern): Literal | null {
  const text = longestPiece(pattern);
  if (text === undefined) return null;
  const at = pattern.indexOf(text);
  return { text: foldTrigger(text), start: at === 0, end: at === pattern.length - 1 && !pattern.includes(ANY, at) };
}

/**
 * When RE2 ignores case, it treats U+212A as k and U+017F as s. Both are replaced by the plain letters in triggers and in searched
 * texts: this can add a candidate event but never lose one.
 */
export function foldTrigger(text: string): string {
  return fold(/[\u212a\u017f]/.test(text) ? text.replaceAll('\u212a', 'k').replaceAll('\u017f', 's') : text);
}
