/**
 * Searches a text for many literals in one pass (Aho and Corasick 1975), ignoring the case of A to Z.
 *
 * The table has a row for each state and a column for each class of characters: one for each that occurs in a literal, and one for
 * all others. Bounded by `MAX_CELLS`, four bytes each. Tested in automaton.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { fold } from '../predicate/pattern.js';

export interface Literal {
  /** Not empty. */
  readonly text: string;
  /** Whether the literal matches only at the beginning, or only at the end, of a text. */
  readonly start: boolean;
  readonly end: boolean;
}

const MAX_CELLS = 1 << 25;
const OTHER = 0;
const A = 65;
const Z = 90;
const CASE = 32;

interface Output {
  readonly value: number;
  readonly length: number;
  readonly start: boolean;
  readonly end: boolean;
}

export class LiteralAutomaton {
  readonly #ascii = new Uint16Array(128);
  readonly #further = new Map<number, number>();
  readonly #width: number;
  /** The next state, times the width, for a state and a class. */
  readonly #table: Int32Array;
  /** Literals that end in a state, longer ones first; -1: none. */
  readonly #ends: Int32Array;
  readonly #outputs: readonly (readonly Output[])[];

  /** `value` is reported when the literal is found. */
  constructor(literals: readonly { readonly literal: Literal; readonly value: number }[]) {
    let classes = 1;
    const folded = literals.map(({ literal, value }) => ({ ...literal, text: fold(literal.text), value }));
    let states = 1;
    for (const { text } of folded) {
      states += text.length;
      for (let i = 0; i < text.length; i += 1)
        if (this.#classOf(text.charCodeAt(i)) === OTHER) this.#setClass(text.charCodeAt(i), classes++);
    }
    this.#width = classes;
    if (states * classes > MAX_CELLS) throw new StenoError('RULES_TOO_LARGE', `${states} characters to search for in one field`);
    const table = new Int32Array(states * classes).fill(-1);
    const ending: Output[][] = [[]];
    let used = 1;
    for (const { text, start, end, value } of folded) {
      let state = 0;
      for (let i = 0; i < text.length; i += 1) {
        const cell = state * classes + this.#classOf(text.charCodeAt(i));
        if (table[cell] === -1) {
          table[cell] = used;
          ending.push([]);
          used += 1;
        }
        state = table[cell]!;
      }
      ending[state]!.push({ value, length: text.length, start, end });
    }
    const { ends, outputs } = link(table, classes, ending);
    this.#table = table.slice(0, used * classes).map((state) => state * classes);
    this.#ends = ends;
    this.#outputs = outputs;
  }

  /** Calls `found` for the value of each literal in the text; more than once if a literal occurs more than once. */
  search(text: string, found: (value: number) => void): void {
    const table = this.#table;
    const ends = this.#ends;
    const ascii = this.#ascii;
    const width = this.#width;
    const last = text.length - 1;
    let state = 0;
    for (let i = 0; i <= last; i += 1) {
      const code = text.charCodeAt(i);
      state = table[state + (code < 128 ? ascii[code]! : (this.#further.get(code) ?? OTHER))]!;
      const output = ends[state / width]!;
      if (output < 0) continue;
      for (const { value, length, start, end } of this.#outputs[output]!) {
        if (start && i + 1 !== length) continue;
        if (end && i !== last) continue;
        found(value);
      }
    }
  }

  #classOf(code: number): number {
    return code < 128 ? this.#ascii[code]! : (this.#further.get(code) ?? OTHER);
  }

  #setClass(code: number, value: number): void {
    if (code >= 128) this.#further.set(code, value);
    else this.#ascii[code] = value;
    if (code >= A + CASE && code <= Z + CASE) this.#ascii[code - CASE] = value;
  }
}

/**
 * Fills in the missing transitions, breadth first, using the longest suffix that is also a prefix, and collects the literals that end
 * in each state.
 */
function link(
  table: Int32Array,
  classes: number,
  ending: readonly (readonly Output[])[],
): { readonly ends: Int32Array; readonly outputs: readonly (readonly Output[])[] } {
  const ends = new Int32Array(ending.length).fill(-1);
  const outputs: (readonly Output[])[] = [];
  const suffix = new Int32Array(ending.length);
  const queue: number[] = [0];
  for (let head = 0; head < queue.length; head += 1) {
    const state = queue[head]!;
    const own = ending[state]!;
    const shorter = ends[suffix[state]!]!;
    if (own.length > 0) {
      ends[state] = outputs.length;
      outputs.push(shorter < 0 || state === 0 ? own : [...own, ...outputs[shorter]!]);
    } else if (state !== 0) ends[state] = shorter;
    for (let column = 0; column < classes; column += 1) {
      const cell = state * classes + column;
      const after = state === 0 ? 0 : table[suffix[state]! * classes + column]!;
      const to = table[cell]!;
      if (to === -1) table[cell] = after;
      else {
        suffix[to] = after;
        queue.push(to);
      }
    }
  }
  return { ends, outputs };
}
