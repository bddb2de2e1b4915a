/**
 * What must be in an event for a rule to match it: literals of which at least one is there whenever the rule matches. A rule is
 * evaluated for an event only if one of its triggers is found, so a set that is too small would lose matches, and one that is too
 * large only costs time. Tested in triggers.test.ts and by matcher.test.ts, where every rule is evaluated without them as well.
 */
import type { Field } from '../predicate/field.js';
import { ANY, fold, longestPiece } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';
import type { Predicate, Test } from '../predicate/predicate.js';
import type { Literal } from './automaton.js';
import { literalsOf } from './regex-literals.js';

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
      const literals = literalsOfTest(predicate.test);
      if (literals === null) return null;
      // Fields inside `data` cost the parsing of its JSON for every event, a normal form the reading of a command line as well.
      const weight = { data: 64, derived: 512, text: 1, number: 1, other: 1 }[predicate.field.kind];
      const costOf = ({ text, start, end }: Literal): number => weight / 2 ** Math.min(24, text.length + (start && end ? 4 : 0));
      return {
        triggers: literals.map((literal) => ({ ...literal, field: predicate.field })),
        cost: literals.reduce((sum, literal) => sum + costOf(literal), 0),
      };
    }
  }
}

function literalsOfTest(test: Test<Field>): readonly Literal[] | null {
  switch (test.kind) {
    case 'pattern': {
      const literal = literalOfPattern(test.pattern);
      return literal === null ? null : [literal];
    }
    case 'regex': {
      const texts = literalsOf(test.regex.text, test.regex.flags.includes('i'));
      return texts?.map((text) => ({ text: foldTrigger(text), start: false, end: false })) ?? null;
    }
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
 * Without regard to case RE2 takes U+212A for a k and U+017F for an s. Triggers and the texts that they are looked for in have the plain letters
 * for them: an event more may become a candidate, and none fewer.
 */
export function foldTrigger(text: string): string {
  return fold(/[\u212a\u017f]/.test(text) ? text.replaceAll('\u212a', 'k').replaceAll('\u017f', 's') : text);
}
