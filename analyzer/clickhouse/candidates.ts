/**
 * Rules with a field that rows do not contain (`NormalCommandLine`) cannot be decided by ClickHouse. ClickHouse can find the rows that
 * they may match, with a predicate in which every test of such a field is replaced by the constant that admits more rows. The streaming
 * matcher then decides about those rows, so that a search of the past finds what the stream would have found. Tested in
 * candidates.test.ts.
 */
import type { Field } from '../predicate/field.js';
import { all, always, any, never, not } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';

export interface Candidates {
  readonly predicate: Predicate<Field>;
  /** Whether the predicate is the rule's own, so that every row found is a match. */
  readonly exact: boolean;
}

export function candidatesOf(predicate: Predicate<Field>): Candidates {
  return isStreamOnly(predicate) ? { predicate: widened(predicate, true), exact: false } : { predicate, exact: true };
}

export function isStreamOnly(predicate: Predicate<Field>): boolean {
  switch (predicate.kind) {
    case 'truth':
      return false;
    case 'not':
      return isStreamOnly(predicate.of);
    case 'all':
    case 'any':
      return predicate.of.some(isStreamOnly);
    case 'test':
      return predicate.field.kind === 'derived' || (predicate.test.kind === 'same' && predicate.test.as.kind === 'derived');
  }
}

/** `most`: the result must hold for at least the rows for which `predicate` holds; otherwise for at most those. */
function widened(predicate: Predicate<Field>, most: boolean): Predicate<Field> {
  switch (predicate.kind) {
    case 'truth':
      return predicate;
    case 'not':
      return not(widened(predicate.of, !most));
    case 'all':
      return all(predicate.of.map((part) => widened(part, most)));
    case 'any':
      return any(predicate.of.map((part) => widened(part, most)));
    case 'test':
      if (!isStreamOnly(predicate)) return predicate;
      return most ? always : never;
  }
}
