/**
 * Predicates that are true at least wherever another one is: what a pass over many events may ask first, because it is cheaper.
 * Tested in hunt.test.ts.
 */
import type { Field } from '../predicate/field.js';
import { all, always, any, never, not } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';

type FieldTest = Extract<Predicate<Field>, { kind: 'test' }>;

/** Every row that satisfies `predicate` satisfies the answer, which has no test that `keep` refuses. */
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
 * What the execution of the other program satisfies whenever a row satisfies `predicate`, as a predicate of that execution's own row;
 * null where a row without a known other program may satisfy it too.
 */
export function requiredOfOther(predicate: Predicate<Field>): Predicate<Field> | null {
  const asked = loosened(predicate, ({ field, test }) => field.kind === 'other' && test.kind !== 'same');
  return holdsForAbsent(asked) ? null : aboutOwnRow(asked);
}

/** The same for rows of which no other program is known. */
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
      // `same` holds for no absent field: neither as what is compared nor as what it is compared with.
      return predicate.test.kind === 'absent' ? always : never;
    }
  }
}

/** With every field absent: `absent` holds, and no other test. */
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
