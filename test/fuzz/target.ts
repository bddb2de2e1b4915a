/**
 * A parser of outside bytes as a fuzz target: seeds, and a check that throws if a property is broken.
 *
 * Both drivers share the targets: fuzz.test.ts mutates the seeds with fast-check, run.mjs runs a coverage-guided fuzzer
 * (guided.ts). Inputs that once broke a property are in `found/TARGET/` and are tried in every run.
 */
import { StenoError } from '#schemas/base/errors.js';

export interface Target {
  readonly name: string;
  /** Compiled files whose branches guide the search: parts of their paths. */
  readonly covers: readonly string[];
  /** Length limit of inputs, in bytes. */
  readonly maxLength: number;
  /** Tokens of the format, for the dictionary of the guided fuzzer. */
  readonly words?: readonly string[];
  readonly open: () => Promise<OpenTarget>;
}

export interface OpenTarget {
  /** Valid inputs, which are mutated. Each must pass `check`. */
  readonly seeds: readonly Uint8Array[];
  /** Throws when these bytes break a property. */
  readonly check: (input: Buffer) => void;
}

export function claim(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(`broken: ${what}`);
}

/** The result of `parse`, or undefined if it throws an error of the catalogue. Any other error is a finding. */
export function parsed<T>(parse: () => T, ...refusals: readonly (new (...args: never[]) => Error)[]): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (error instanceof StenoError || refusals.some((refusal) => error instanceof refusal)) return undefined;
    throw error;
  }
}

export function claimEqual(left: unknown, right: unknown, what: string): void {
  const [one, other] = [JSON.stringify(left, bytesAsHex), JSON.stringify(right, bytesAsHex)];
  claim(one === other, `${what}: ${one?.slice(0, 300)} and ${other?.slice(0, 300)}`);
}

/** A JSON replacer. Buffers have a `toJSON` of their own, which runs first. */
function bytesAsHex(this: unknown, key: string, given: unknown): unknown {
  const value = (this as Record<string, unknown>)[key] ?? given;
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex');
  return typeof value === 'bigint' ? `${value}n` : value;
}

/** Cuts the input into steps: a byte with the side in its top bit and a length of up to 127 in the others, then that many bytes. */
export function* steps(input: Buffer): Generator<{ readonly side: 0 | 1; readonly bytes: Buffer }> {
  for (let at = 0; at < input.length;) {
    const head = input[at]!;
    const bytes = input.subarray(at + 1, at + 1 + (head & 0x7f));
    yield { side: head < 0x80 ? 0 : 1, bytes };
    at += 1 + bytes.length;
  }
}

/** Encodes these bytes as steps. */
export function script(...parts: readonly (readonly [side: 0 | 1, bytes: Uint8Array])[]): Buffer {
  return Buffer.concat(
    parts.flatMap(([side, bytes]) => {
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += 127) {
        const piece = bytes.subarray(at, at + 127);
        pieces.push(Buffer.of(side * 0x80 + piece.length), Buffer.from(piece));
      }
      return pieces;
    }),
  );
}

export const utf8 = (text: string): Uint8Array => Buffer.from(text);
