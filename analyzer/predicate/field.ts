/**
 * Where a field's value is in a row of `events`: a text, a number, or absent (`''`). Tested in ../clickhouse/agreement.test.ts,
 * where the reading here is compared with the SQL for the same field.
 */
import type { EventRow } from '#schemas/events/rows.js';

export type TextColumn = 'kind' | 'source' | 'user' | 'node' | 'login' | 'path' | 'sha256' | 'address' | 'name' | 'reason' | 'outcome';
export type NumberColumn = 'port' | 'size';

/** What a process runs. */
export interface Program {
  readonly path: string;
  readonly command: string;
}

export type Field =
  /** `before` is put in front of a value that is there, as in `SHA256=…` */
  | { readonly kind: 'text'; readonly column: TextColumn; readonly before?: string }
  | { readonly kind: 'number'; readonly column: NumberColumn }
  /** A text, or a whole number, at this path of the JSON in `data`; a number of the path counts from 0 in a list. */
  | { readonly kind: 'data'; readonly path: readonly (string | number)[]; readonly type: 'text' | 'number' }
  /** Of the program of another process: of the parent for `exec`, of the process that acted for every other kind (../lineage/). */
  | { readonly kind: 'other'; readonly what: keyof Program };

/** What distinguishes fields. */
export function fieldKey(field: Field): string {
  switch (field.kind) {
    case 'data':
      return `data ${field.type} ${field.path.join('.')}`;
    case 'other':
      return `other ${field.what}`;
    default:
      return `${field.column} ${'before' in field ? field.before : ''}`;
  }
}

/** The JSON of `data` is parsed at most once a row, and only for rules that look into it. */
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
    }
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

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
