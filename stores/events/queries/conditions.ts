/**
 * The WHERE of a query, built from constant text; every value is a bound parameter.
 *
 * A cursor is the position of the last row of a page: the values of the columns that order the page. It is opaque to
 * callers, but neither secret nor trusted, and is parsed as strictly as any other input.
 */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import type { BoundValues } from '../engine/engine.js';
import { formatMoment } from '../engine/columns.js';

export class Conditions {
  readonly #parts: string[] = [];
  readonly #parameters: Record<string, string | number | readonly string[]> = {};

  /** `name` is both the column and the parameter. */
  equals(name: string, value: string | undefined): void {
    if (value === undefined) return;
    this.add(`${name} = {${name}:String}`, { [name]: value });
  }

  /** `from` inclusive, `to` exclusive. */
  between(column: string, from: number | undefined, to: number | undefined): void {
    if (from !== undefined) this.add(`${column} >= {from:DateTime64(3, 'UTC')}`, { from: formatMoment(from) });
    if (to !== undefined) this.add(`${column} < {to:DateTime64(3, 'UTC')}`, { to: formatMoment(to) });
  }

  add(part: string, parameters: BoundValues): void {
    this.#parts.push(part);
    Object.assign(this.#parameters, parameters);
  }

  /** Binds a text under a generated name; returns its SQL. */
  readonly bind = (value: string): string => {
    const name = `p${Object.keys(this.#parameters).length}`;
    this.#parameters[name] = value;
    return `{${name}:String}`;
  };

  /** The same with renamed parameters, for combination with others in one statement. */
  renamed(prefix: string): { readonly where: string; readonly parameters: BoundValues } {
    const where = this.where.replaceAll(/\{(\w+):/g, `{${prefix}$1:`);
    return { where, parameters: Object.fromEntries(Object.entries(this.#parameters).map(([name, value]) => [`${prefix}${name}`, value])) };
  }

  /** `1` when there is no condition. */
  get where(): string {
    return this.#parts.length === 0 ? '1' : this.#parts.map((part) => `(${part})`).join(' AND ');
  }

  get parameters(): BoundValues {
    return this.#parameters;
  }
}

export function encodeCursor(place: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/** Throws BAD_REQUEST for a cursor that `encodeCursor` did not write for this schema. */
export function decodeCursor<T extends z.ZodType>(schema: T, cursor: string): z.output<T> {
  try {
    return schema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
  } catch (error) {
    throw new StenoError('BAD_REQUEST', 'not a cursor', { cause: error });
  }
}

const text = z.string().max(64);
const moment = z.int().min(0).max(7_258_118_400_000);
const u32 = z.int().min(0).max(0xffff_ffff);
/** `at`, `session`, `block`, `index`, of screen lines. */
export const lineCursor = z.tuple([moment, text, u32, u32]);
/** `at`, `session`, `source`, `emitter`, `block`, `index`, of events. */
export const eventCursor = z.tuple([moment, text, text, z.string().max(255), u32, u32]);
/** A moment and an id. */
export const momentCursor = z.tuple([moment, z.string().max(128)]);
