/**
 * Finds whole words of which every row that a rule matches contains at least one: with these, the word index (`eventText`) skips rows
 * that cannot match without reading them. A word is whole if the adjacent characters in the rule separate words, or if the field begins
 * or ends there. Tested in hunt.test.ts.
 */
import { eventText } from '#stores/events/queries/text-match.js';
import { literal } from '#stores/events/queries/visible.js';
import { literalsOf } from '../matching/regex-literals.js';
import type { Field } from '../predicate/field.js';
import { fold } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';
import type { Predicate, Test } from '../predicate/predicate.js';

/** More words do not help, and the engine's function does not accept more. */
const MAX_WORDS = 64;
/** Shorter words are in nearly every row. */
const SHORTEST = 3;
const columns: ReadonlySet<string> = new Set(['path', 'name', 'address']);

/** A condition on `events`; null if there are no such words. */
export function wordCondition(predicate: Predicate<Field>): string | null {
  const words = [...new Set(choose(predicate)?.words ?? [])];
  if (words.length === 0 || words.length > MAX_WORDS) return null;
  return `hasAnyTokens(${eventText.words}, [${words.map(literal).join(', ')}])`;
}

interface Choice {
  readonly words: readonly string[];
  /** Estimated frequency of rows that contain one of the words, used to choose. */
  readonly cost: number;
}

function choose(predicate: Predicate<Field>): Choice | null {
  switch (predicate.kind) {
    case 'truth':
    case 'not':
      return null;
    case 'all':
      return predicate.of
        .map(choose)
        .reduce<Choice | null>((best, one) => (one !== null && (best === null || one.cost < best.cost) ? one : best), null);
    case 'any': {
      const choices = predicate.of.map(choose);
      if (!choices.every((one) => one !== null)) return null;
      return { words: choices.flatMap(({ words }) => words), cost: choices.reduce((sum, { cost }) => sum + cost, 0) };
    }
    case 'test': {
      const { field } = predicate;
      if (field.kind !== 'text' || field.before !== undefined || !columns.has(field.column)) return null;
      const words = wordsOfTest(predicate.test);
      return words === null ? null : { words, cost: words.reduce((sum, { length }) => sum + 2 ** -Math.min(24, length), 0) };
    }
  }
}

function wordsOfTest(test: Test<Field>): readonly string[] | null {
  switch (test.kind) {
    case 'pattern': {
      const word = wordOfPattern(test.pattern);
      return word === null ? null : [word];
    }
    case 'regex': {
      const words = literalsOf(test.regex.text, test.regex.flags.includes('i'))?.map((text) => longestWord(text, false, false));
      return words?.every((word) => word !== null) === true ? (words as string[]) : null;
    }
    default:
      return null;
  }
}

function wordOfPattern(pattern: Pattern): string | null {
  const words = pattern.map((piece, i) => (typeof piece === 'string' ? longestWord(piece, i === 0, i === pattern.length - 1) : null));
  return words.reduce<string | null>((best, word) => (word !== null && word.length > (best?.length ?? 0) ? word : best), null);
}

/** `begins`, `ends`: whether the field begins or ends there too, so that a word there is whole. */
function longestWord(text: string, begins: boolean, ends: boolean): string | null {
  let best: string | null = null;
  for (const { 0: word, index } of fold(text).matchAll(/[a-z0-9]+/g)) {
    const before = index === 0 ? begins : isSeparator(text[index - 1]!);
    const last = index + word.length;
    const after = last === text.length ? ends : isSeparator(text[last]!);
    if (before && after && word.length >= SHORTEST && word.length > (best?.length ?? 0)) best = word;
  }
  return best;
}

/** A character beyond ASCII counts as part of a word. */
function isSeparator(character: string): boolean {
  return /^[\u0000-\u007f]$/.test(character);
}
