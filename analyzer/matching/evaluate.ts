/**
 * Compiles a predicate into a function of an event, which is read through a view that caches values shared by several rules. Tested in
 * matcher.test.ts.
 */
import { holds, parseAddress, parseBlock } from '#schemas/base/ip-address.js';
import type { EventRow } from '#schemas/events/rows.js';
import { RowReader, fieldKey } from '../predicate/field.js';
import type { Field, Program } from '../predicate/field.js';
import { fold, foldPattern, matcherOf } from '../predicate/pattern.js';
import { compares, numberOf } from '../predicate/predicate.js';
import { requiredSetsOf } from './regex-literals.js';
import { foldTrigger } from './triggers.js';
import type { Part, Predicate, Test } from '../predicate/predicate.js';

const ASCII = /^[\x00-\x7f]*$/;

/** Holds one event at a time. Each field has a number, assigned when the rules are compiled. */
export class EventView {
  readonly #reader = new RowReader();
  readonly #numbers = new Map<string, number>();
  readonly #fields: Field[] = [];
  readonly #texts: (string | undefined)[] = [];
  readonly #folded: (string | undefined)[] = [];
  readonly #ascii: (boolean | undefined)[] = [];

  numberOf(field: Field): number {
    const key = fieldKey(field);
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#fields.push(field) - 1;
      this.#numbers.set(key, number);
      this.#texts.push(undefined);
      this.#folded.push(undefined);
      this.#ascii.push(undefined);
    }
    return number;
  }

  set(row: EventRow, other: Program | null): void {
    this.#reader.set(row, other);
    this.#texts.fill(undefined);
    this.#folded.fill(undefined);
    this.#ascii.fill(undefined);
  }

  text(field: number): string {
    return (this.#texts[field] ??= this.#reader.text(this.#fields[field]!));
  }

  folded(field: number): string {
    return (this.#folded[field] ??= fold(this.text(field)));
  }

  isAscii(field: number): boolean {
    return (this.#ascii[field] ??= ASCII.test(this.text(field)));
  }
}

export type Evaluation = (view: EventView) => boolean;

export function evaluationOf(predicate: Predicate<Field>, view: EventView): Evaluation {
  switch (predicate.kind) {
    case 'truth': {
      const { truth } = predicate;
      return () => truth;
    }
    case 'not': {
      const of = evaluationOf(predicate.of, view);
      return (event) => !of(event);
    }
    case 'all': {
      const parts = predicate.of.map((part) => evaluationOf(part, view));
      return (event) => parts.every((part) => part(event));
    }
    case 'any': {
      const parts = predicate.of.map((part) => evaluationOf(part, view));
      return (event) => parts.some((part) => part(event));
    }
    case 'test':
      return testOf(view.numberOf(predicate.field), predicate.test, view);
  }
}

function testOf(field: number, test: Test<Field>, view: EventView): Evaluation {
  switch (test.kind) {
    case 'pattern': {
      const matches = matcherOf(test.cased ? test.pattern : foldPattern(test.pattern));
      if (test.cased) return (event) => event.text(field) !== '' && matches(event.text(field));
      return (event) => event.text(field) !== '' && matches(event.folded(field));
    }
    case 'regex': {
      const { program, text, flags } = test.regex;
      const sets = requiredSetsOf(text, flags.includes('i')).map((set) => set.map(foldTrigger));
      return (event) => event.text(field) !== '' && mayMatch(event, field, sets) && program.test(event.text(field));
    }
    case 'network': {
      const block = parseBlock(test.block)!;
      return (event) => {
        const address = parseAddress(event.text(field));
        return address !== undefined && holds(block, address);
      };
    }
    case 'number':
      return (event) => {
        const number = numberOf(event.text(field));
        return number !== null && compares(number, test.is, test.value);
      };
    case 'absent':
      return (event) => event.text(field) === '';
    case 'same': {
      const other = view.numberOf(test.as);
      const read = (event: EventView, number: number): string => (test.cased ? event.text(number) : event.folded(number));
      return (event) => event.text(other) !== '' && partHolds(read(event, field), test.part, read(event, other));
    }
  }
}

/** False if a text that every match contains is missing: looking for texts is far cheaper than trying the expression. */
function mayMatch(event: EventView, field: number, sets: readonly (readonly string[])[]): boolean {
  // Letters beyond ASCII may fold to letters within it.
  if (sets.length === 0 || !event.isAscii(field)) return true;
  const folded = event.folded(field);
  return sets.every((set) => set.some((text) => folded.includes(text)));
}

function partHolds(text: string, part: Part, of: string): boolean {
  switch (part) {
    case 'whole':
      return text === of;
    case 'contains':
      return text.includes(of);
    case 'startswith':
      return text.startsWith(of);
    case 'endswith':
      return text.endsWith(of);
  }
}
