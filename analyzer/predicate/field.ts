/**
 * The location of a field's value in a row of `events`: a text, a number, or absent (`''`). Tested in ../clickhouse/agreement.test.ts,
 * which compares the reading here with the SQL for the same field.
 */
import type { EventRow } from '#schemas/events/rows.js';
import { normalForm, normalFormOf } from '../normal-form/normal-form.js';

export type TextColumn =
  'session' | 'kind' | 'source' | 'user' | 'node' | 'login' | 'path' | 'sha256' | 'address' | 'name' | 'reason' | 'outcome';
export type NumberColumn = 'port' | 'size';

/** The program that a process runs. */
export interface Program {
  readonly path: string;
  readonly command: string;
}

export type Field =
  /** `before` is prefixed to a value that is present, as in `SHA256=…` */
  | { readonly kind: 'text'; readonly column: TextColumn; readonly before?: string }
  | { readonly kind: 'number'; readonly column: NumberColumn }
  /** A text, or a whole number, at this path of the JSON in `data`; a number in the path is a list index, starting at 0. */
  | { readonly kind: 'data'; readonly path: readonly (string | number)[]; readonly type: 'text' | 'number' }
  /** A field of another process's program: of the parent for `exec`, of the process that acted for every other kind (../lineage/). */
  | { readonly kind: 'other'; readonly what: keyof Program }
  /**
   * The command line in its normal form (../normal-form/): not available in ClickHouse, so a rule that uses it works on the stream
   * only.
   */
  | { readonly kind: 'derived'; readonly what: 'normalCommand' };

/** Identifies a field. */
export function fieldKey(field: Field): string {
  switch (field.kind) {
    case 'data':
      return `data ${field.type} ${field.path.join('.')}`;
    case 'other':
      return `other ${field.what}`;
    case 'derived':
      return `derived ${field.what}`;
    default:
      return `${field.column} ${'before' in field ? field.before : ''}`;
  }
}

/** Parses the JSON of `data` at most once per row, and only for rules that use it. */
export class RowReader {
  #row: EventRow | undefined;
  #other: Program | null = null;
  #data: unknown;
  #parsed = false;

  set(row: EventRow, other: Program | null): void {
    this.#row = row;
    this.#other = other;
    this.#parsed = false;
  }

  text(field: Field): string {
    const row = this.#row!;
    switch (field.kind) {
      case 'text': {
        const value = row[field.column];
        return field.before === undefined || value === '' ? value : field.before + value;
      }
      case 'number':
        return row[field.column] === null ? '' : String(row[field.column]);
      case 'data':
        return this.#inside(field.path, field.type);
      case 'other':
        return this.#other?.[field.what] ?? '';
      case 'derived':
        return this.#normalCommand();
    }
  }

  #normalCommand(): string {
    const { name } = this.#row!;
    if (name === '') return '';
    this.#inside([], 'text');
    const argv = isRecord(this.#data) ? this.#data.argv : undefined;
    // The kernel's command line has lost its quotes; the list of arguments has not.
    return isTexts(argv) && argv.length > 0 ? normalFormOf(argv) : normalForm(name);
  }

  #inside(path: readonly (string | number)[], type: 'text' | 'number'): string {
    if (!this.#parsed) {
      this.#data = parsed(this.#row!.data);
      this.#parsed = true;
    }
    let value = this.#data;
    for (const part of path) {
      if (typeof part === 'number') value = Array.isArray(value) ? (value as unknown[])[part] : undefined;
      else value = isRecord(value) && Object.hasOwn(value, part) ? value[part] : undefined;
    }
    if (type === 'text') return typeof value === 'string' ? value : '';
    return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : '';
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
