/** Writes a row of `events` field by field, starting from a row that the log source accepts. Tested in cases.test.ts. */
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { Field, Program } from '../predicate/field.js';
import { shapeOf } from '../predicate/pattern.js';
import type { Predicate } from '../predicate/predicate.js';
import type { Source } from '../sources/source.js';

/** A fault in an example, in words for the author. */
export class ExampleError extends Error {}

export class RowWriter {
  readonly #source: Source;
  readonly #columns: Record<string, unknown> = {};
  readonly #data: Record<string, unknown> = {};
  #other: Program | null = null;

  constructor(source: Source) {
    this.#source = source;
    this.satisfy(source.selects);
  }

  /** Writes values that satisfy the predicate: the first branch of an `any`, the text of a pattern. Negated tests are left alone. */
  satisfy(predicate: Predicate<Field>): void {
    switch (predicate.kind) {
      case 'all':
        for (const part of predicate.of) this.satisfy(part);
        return;
      case 'any':
        this.satisfy(predicate.of[0]!);
        return;
      case 'test': {
        const shape = predicate.test.kind === 'pattern' ? shapeOf(predicate.test.pattern) : null;
        if (shape !== null && 'text' in shape) this.write(predicate.field, shape.text);
        return;
      }
      default:
    }
  }

  /** Throws an ExampleError if a number is expected and the text is not one. */
  write(field: Field, text: string): void {
    switch (field.kind) {
      case 'text':
        this.#columns[field.column] =
          field.before !== undefined && text.startsWith(field.before) ? text.slice(field.before.length).toLowerCase() : text;
        return;
      case 'number':
        this.#columns[field.column] = numberOf(text);
        return;
      case 'data':
        put(this.#data, field.path, field.type === 'number' ? numberOf(text) : text);
        return;
      case 'other':
        this.#other = { path: '', command: '', ...this.#other, [field.what]: text };
        return;
      case 'derived':
        this.#columns['name'] = text;
    }
  }

  /** The other program, which the row does not contain. */
  get other(): Program | null {
    return this.#other;
  }

  row(): EventRow {
    return {
      session: '',
      source: 'kernel',
      emitter: 'agent/example',
      block: 0,
      index: 0,
      at: 0,
      offset_ms: 0,
      kind: this.#source.kinds[0]!,
      user: '',
      node: '',
      login: '',
      ...noFacts,
      ...this.#columns,
      data: JSON.stringify(this.#data),
    };
  }
}

function numberOf(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) throw new ExampleError(`${JSON.stringify(text)} is no whole number`);
  return number;
}

function put(into: Record<string, unknown>, path: readonly (string | number)[], value: unknown): void {
  const [name, place] = path as readonly [string, number?];
  if (place === undefined) {
    into[name] = value;
    return;
  }
  const list = (into[name] ??= []) as unknown[];
  while (list.length <= place) list.push('');
  list[place] = value;
}
