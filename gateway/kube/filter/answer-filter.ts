/**
 * Filters answers of which a role shows only a part: while the answer streams through, it removes objects that the user may not see, and
 * the values of objects of which the user may see only the keys.
 *
 *     list     {kind, apiVersion, metadata, items: [object, ...]}          or a Table: {..., columnDefinitions, rows: [{cells, object}, ...]}
 *     watch    {type, object}\n ...        BOOKMARK and ERROR name no object and pass; `object` may be a Table with rows
 *     object   the answer to a request about one object, or a Status
 *
 * An object whose name is not found is removed; an answer of another form is cut off. Also removed: members of a list that this version
 * does not know, and members that count or name removed objects (`remainingItemCount`, `continue`). One object is held at a time. Tested
 * in filter.test.ts, and with kubectl in test/kube/.
 */
import { Transform } from 'node:stream';
import type { TransformCallback } from 'node:stream';
import type { KubeObject } from '#schemas/policy/kubernetes.js';
import { FormError, Members, Values, parse } from './members.js';
import { isTable } from './values.js';
import type { HideValues } from './values.js';

export interface FilterRules {
  /** Null: every object, and the number of objects, may be seen. */
  readonly shows: ((object: KubeObject) => boolean) | null;
  /** Null: values are shown. */
  readonly hide: HideValues | null;
  /** Called when an object was removed. */
  hid(): unknown;
}

const arrays: ReadonlySet<string> = new Set(['items', 'rows']);
const plain: ReadonlySet<string> = new Set(['kind', 'apiVersion', 'columnDefinitions']);

/** Filters the bytes of a whole list. */
export class ListFilter extends Transform {
  readonly #rules: FilterRules;
  readonly #members = new Members(arrays);
  #parts: string[] = ['{'];
  /** Whether a comma must precede the next member, or element. */
  #later = false;
  #laterElement = false;

  constructor(rules: FilterRules) {
    super();
    this.#rules = rules;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    attempt(done, () => {
      for (const piece of this.#members.push(chunk))
        switch (piece.kind) {
          case 'member':
            this.#member(piece.key, piece.json);
            break;
          case 'array':
            this.#parts.push(`${this.#comma()}${JSON.stringify(piece.key)}:[`);
            this.#laterElement = false;
            break;
          case 'element':
            this.#element(piece.key, piece.json);
            break;
          case 'array_end':
            this.#parts.push(']');
        }
      return this.#text();
    });
  }

  override _flush(done: TransformCallback): void {
    attempt(done, () => {
      this.#members.end();
      this.#parts.push('}\n');
      return this.#text();
    });
  }

  #member(key: string, json: string): void {
    if (arrays.has(key)) {
      // An empty list may be `null`.
      if (json !== 'null') throw new FormError('a list that is none');
    } else if (key !== 'metadata' && !plain.has(key)) return;
    const value = parse(json);
    const text = key === 'metadata' && this.#rules.shows !== null ? JSON.stringify(withoutCounts(value)) : json;
    this.#parts.push(`${this.#comma()}${JSON.stringify(key)}:${text}`);
  }

  #element(key: string, json: string): void {
    const row = key === 'rows';
    if (!isShown(this.#rules, parse(json), row)) return;
    const { hide } = this.#rules;
    const text = hide === null ? json : (row ? hide.row : hide.object)(json);
    this.#parts.push(this.#laterElement ? `,${text}` : text);
    this.#laterElement = true;
  }

  #comma(): string {
    const comma = this.#later ? ',' : '';
    this.#later = true;
    return comma;
  }

  #text(): Buffer | undefined {
    const text = this.#parts.join('');
    this.#parts = [];
    return text === '' ? undefined : Buffer.from(text);
  }
}

/** Filters the events of a watch. */
export class WatchFilter extends Transform {
  readonly #rules: FilterRules;
  readonly #values = new Values();

  constructor(rules: FilterRules) {
    super();
    this.#rules = rules;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    attempt(done, () => {
      const shown: string[] = [];
      for (const json of this.#values.push(chunk)) {
        const event = this.#event(json);
        if (event !== null) shown.push(event, '\n');
      }
      return shown.length === 0 ? undefined : Buffer.from(shown.join(''));
    });
  }

  /** Null: not shown. */
  #event(json: string): string | null {
    const { type, object } = record(parse(json));
    if (type === 'BOOKMARK' || type === 'ERROR') return json;
    if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') throw new FormError('an event of an unknown type');
    const { kind, apiVersion, rows } = record(object);
    if (!isTable(kind, apiVersion)) return isShown(this.#rules, object, false) ? this.#withoutValues(json) : null;
    if (!Array.isArray(rows)) throw new FormError('a table without rows');
    const kept = rows.filter((row) => isShown(this.#rules, row, true));
    if (kept.length === rows.length) return this.#withoutValues(json);
    return kept.length === 0 ? null : this.#withoutValues(JSON.stringify({ type, object: { ...record(object), rows: kept } }));
  }

  #withoutValues(event: string): string {
    return this.#rules.hide?.event(event) ?? event;
  }
}

/** Removes the values of one object, which is held whole. */
export class ObjectFilter extends Transform {
  readonly #hide: HideValues;
  readonly #values = new Values();
  #answer: string | undefined;

  constructor(hide: HideValues) {
    super();
    this.#hide = hide;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    attempt(done, () => {
      for (const json of this.#values.push(chunk)) {
        if (this.#answer !== undefined) throw new FormError('something after the end');
        this.#answer = json;
      }
      return undefined;
    });
  }

  override _flush(done: TransformCallback): void {
    attempt(done, () => {
      if (this.#answer === undefined) throw new FormError('cut short');
      return Buffer.from(`${this.#hide.answer(this.#answer)}\n`);
    });
  }
}

/** Decides by the name in the object's metadata; for a row, in the metadata of the row's object. */
function isShown(rules: FilterRules, value: unknown, row: boolean): boolean {
  const { metadata } = record(row ? record(value)['object'] : value);
  if (rules.shows === null) return true;
  const { name, namespace } = record(metadata);
  const shown =
    typeof name === 'string' &&
    name !== '' &&
    rules.shows({ name, namespace: typeof namespace === 'string' && namespace !== '' ? namespace : null });
  if (!shown) rules.hid();
  return shown;
}

function withoutCounts(metadata: unknown): unknown {
  const { remainingItemCount, continue: next, ...rest } = record(metadata);
  void [remainingItemCount, next];
  return rest;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function attempt(done: TransformCallback, transform: () => Buffer | undefined): void {
  try {
    done(null, transform());
  } catch (error) {
    done(error as Error);
  }
}
