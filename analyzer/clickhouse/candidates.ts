/**
 * Rules with a field that no row has (`NormalCommandLine`) cannot be decided by ClickHouse. It can find the rows that they may match: the
 * predicate with every test of such a field taken for what lets most rows through. The streaming matcher decides about those, so that a search
 * of the past finds what the stream would have found. Tested in candidates.test.ts.
 */
import type { Field } from '../predicate/field.js';
import { all, always, any, never, not } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';

export interface Candidates {
  readonly predicate: Predicate<Field>;
  /** The predicate is the rule's own: every row that it finds is a match. */
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

/** `most`: the predicate is to hold for at least the rows that it held for; otherwise for at most those. */
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
