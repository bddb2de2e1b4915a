/**
 * The common form of a rule's condition, from which both the streaming matcher (`../matching/`) and the ClickHouse predicate
 * (`../clickhouse/`) are made. `F` is the type of a field: a name in the rule's language before fields are mapped, a `Field`
 * afterwards.
 *
 * Two-valued: a field that is absent satisfies `absent` and no other test, and `not` turns that around. In rows of the event
 * store an absent text is `''`, so an empty text and an absent one are the same thing here.
 *
 * Letters are compared without regard to case unless a test says `cased`; only A to Z have case, because ClickHouse's `lower` and a
 * fold in JavaScript agree on those letters and on no others (docs/decisions/0080-sigma-rules.md). Tested in predicate.test.ts.
 */
import type { Pattern } from './pattern.js';
import type { Regex } from './regex.js';

export type Predicate<F> =
  | { readonly kind: 'truth'; readonly truth: boolean }
  | { readonly kind: 'all' | 'any'; readonly of: readonly Predicate<F>[] }
  | { readonly kind: 'not'; readonly of: Predicate<F> }
  | { readonly kind: 'test'; readonly field: F; readonly test: Test<F> };

export type Test<F> =
  | { readonly kind: 'pattern'; readonly pattern: Pattern; readonly cased: boolean }
  | { readonly kind: 'regex'; readonly regex: Regex }
  /** The field is the text of an address within the block; IPv4-mapped IPv6 counts as IPv4. */
  | { readonly kind: 'network'; readonly block: string }
  /** The field is a number, in decimal digits where it is a text. */
  | { readonly kind: 'number'; readonly is: Comparison; readonly value: number }
  | { readonly kind: 'absent' }
  /** The field equals, contains, begins or ends with the text of another field, which must be present. */
  | { readonly kind: 'same'; readonly as: F; readonly part: Part; readonly cased: boolean };

export type Comparison = 'lt' | 'lte' | 'gt' | 'gte';
export type Part = 'whole' | 'contains' | 'startswith' | 'endswith';

export const always: Predicate<never> = { kind: 'truth', truth: true };
export const never: Predicate<never> = { kind: 'truth', truth: false };

export function test<F>(field: F, of: Test<F>): Predicate<F> {
  return { kind: 'test', field, test: of };
}

export function not<F>(of: Predicate<F>): Predicate<F> {
  if (of.kind === 'truth') return of.truth ? never : always;
  return of.kind === 'not' ? of.of : { kind: 'not', of };
}

export function all<F>(of: readonly Predicate<F>[]): Predicate<F> {
  return joined('all', of);
}

export function any<F>(of: readonly Predicate<F>[]): Predicate<F> {
  return joined('any', of);
}

/** Without constants, and without a nested join of the same kind. */
function joined<F>(kind: 'all' | 'any', of: readonly Predicate<F>[]): Predicate<F> {
  const decisive = kind === 'any';
  const parts = of.flatMap((part) => (part.kind === kind ? part.of : [part]));
  if (parts.some((part) => part.kind === 'truth' && part.truth === decisive)) return decisive ? always : never;
  const open = parts.filter((part) => part.kind !== 'truth');
  if (open.length === 0) return decisive ? never : always;
  return open.length === 1 ? open[0]! : { kind, of: open };
}

/** The number of tests and joins; one used in several places counts several times. */
export function sizeOf<F>(predicate: Predicate<F>): number {
  switch (predicate.kind) {
    case 'truth':
    case 'test':
      return 1;
    case 'not':
      return 1 + sizeOf(predicate.of);
    case 'all':
    case 'any':
      return predicate.of.reduce((sum, part) => sum + sizeOf(part), 1);
  }
}

const digits = /^-?[0-9]{1,15}$/;

/** The numeric value of a text for comparisons, if ClickHouse and JavaScript both represent it exactly. Null for any other text. */
export function numberOf(text: string): number | null {
  return digits.test(text) ? Number(text) : null;
}

export function compares(left: number, is: Comparison, right: number): boolean {
  switch (is) {
    case 'lt':
      return left < right;
    case 'lte':
      return left <= right;
    case 'gt':
      return left > right;
    case 'gte':
      return left >= right;
  }
}
