/** Generates events from a rule's own condition: one for each way to satisfy it, as far as texts can be constructed. For tests. */
import { fieldKey } from '../predicate/field.js';
import type { Field } from '../predicate/field.js';
import { ANY, ONE } from '../predicate/pattern.js';
import type { Predicate } from '../predicate/predicate.js';

export interface FieldText {
  readonly field: Field;
  readonly text: string;
}

const MOST = 12;

/**
 * Texts of fields that satisfy the predicate, if no field is tested twice and nothing is negated; if several tests concern one field,
 * their texts are concatenated. Whether the result really satisfies the predicate is for the implementation under test to decide.
 */
export function waysToSatisfy(predicate: Predicate<Field>): readonly (readonly FieldText[])[] {
  return ways(predicate).map((facts) => {
    const joined = new Map<string, FieldText>();
    for (const fact of facts) {
      const known = joined.get(fieldKey(fact.field));
      joined.set(fieldKey(fact.field), known === undefined ? fact : { field: fact.field, text: join(known.text, fact.text) });
    }
    return [...joined.values()];
  });
}

/** A path is appended to the existing text, so that both prefixes and suffixes can match. */
function join(first: string, second: string): string {
  return first.includes(second) ? first : first + second;
}

function ways(predicate: Predicate<Field>): readonly (readonly FieldText[])[] {
  switch (predicate.kind) {
    case 'all':
      return predicate.of
        .map(ways)
        .reduce((all, part) => all.flatMap((one) => part.map((other) => [...one, ...other])).slice(0, MOST), [
          [],
        ] as readonly (readonly FieldText[])[]);
    case 'any':
      return predicate.of.flatMap(ways).slice(0, MOST);
    case 'test': {
      const { field, test } = predicate;
      if (test.kind !== 'pattern') return [[]];
      return [[{ field, text: test.pattern.map((piece) => (piece === ANY ? '' : piece === ONE ? 'x' : piece)).join('') }]];
    }
    default:
      return [[]];
  }
}
