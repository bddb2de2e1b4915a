/**
 * Weakens predicates: the result is true at least wherever the original is, and cheaper, so a pass over many events can test it first.
 * Tested in hunt.test.ts.
 */
import type { Field } from '../predicate/field.js';
import { all, always, any, never, not } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';

type FieldTest = Extract<Predicate<Field>, { kind: 'test' }>;

/** Every row that satisfies `predicate` satisfies the result, which contains no test that `keep` refuses. */
export function loosened(predicate: Predicate<Field>, keep: (test: FieldTest) => boolean): Predicate<Field> {
  return rewritten(predicate, keep, true);
}

function rewritten(predicate: Predicate<Field>, keep: (test: FieldTest) => boolean, positive: boolean): Predicate<Field> {
  switch (predicate.kind) {
    case 'truth':
      return predicate;
    case 'not':
      return not(rewritten(predicate.of, keep, !positive));
    case 'all':
      return all(predicate.of.map((part) => rewritten(part, keep, positive)));
    case 'any':
      return any(predicate.of.map((part) => rewritten(part, keep, positive)));
    case 'test':
      if (keep(predicate)) return predicate;
      return positive ? always : never;
  }
}

export function asksForOther({ field, test }: FieldTest): boolean {
  return field.kind === 'other' || (test.kind === 'same' && test.as.kind === 'other');
}

export function hasOther(predicate: Predicate<Field>): boolean {
  switch (predicate.kind) {
    case 'truth':
      return false;
    case 'not':
      return hasOther(predicate.of);
    case 'all':
    case 'any':
      return predicate.of.some(hasOther);
    case 'test':
      return asksForOther(predicate);
  }
}

/**
 * A predicate that the other program's execution satisfies, in its own row, whenever a row satisfies `predicate`; null if a row whose
 * other program is unknown may satisfy `predicate` too.
 */
export function requiredOfOther(predicate: Predicate<Field>): Predicate<Field> | null {
  const asked = loosened(predicate, ({ field, test }) => field.kind === 'other' && test.kind !== 'same');
  return holdsForAbsent(asked) ? null : aboutOwnRow(asked);
}

/** The predicate for rows whose other program is unknown. */
export function withoutOther(predicate: Predicate<Field>): Predicate<Field> {
  switch (predicate.kind) {
    case 'truth':
      return predicate;
    case 'not':
      return not(withoutOther(predicate.of));
    case 'all':
      return all(predicate.of.map(withoutOther));
    case 'any':
      return any(predicate.of.map(withoutOther));
    case 'test': {
      if (!asksForOther(predicate)) return predicate;
      // `same` never holds for an absent field, on either side of the comparison.
      return predicate.test.kind === 'absent' ? always : never;
    }
  }
}

/** Evaluates with every field absent: `absent` holds, and no other test. */
function holdsForAbsent(predicate: Predicate<Field>): boolean {
  switch (predicate.kind) {
    case 'truth':
      return predicate.truth;
    case 'not':
      return !holdsForAbsent(predicate.of);
    case 'all':
      return predicate.of.every(holdsForAbsent);
    case 'any':
      return predicate.of.some(holdsForAbsent);
    case 'test':
      return predicate.test.kind === 'absent';
  }
}

function aboutOwnRow(predicate: Predicate<Field>): Predicate<Field> {
  switch (predicate.kind) {
    case 'truth':
      return predicate;
    case 'not':
      return not(aboutOwnRow(predicate.of));
    case 'all':
    case 'any':
      return { ...predicate, of: predicate.of.map(aboutOwnRow) };
    case 'test': {
      const { field } = predicate;
      return field.kind === 'other'
        ? { ...predicate, field: { kind: 'text', column: field.what === 'path' ? 'path' : 'name' } }
        : predicate;
    }
  }
}
