/**
 * The data types of the SSH protocol (RFC 4251 section 5), read and written side by side.
 *
 * Reading is strict: lengths are checked against the remaining bytes, text must be valid UTF-8, numbers must be in their
 * shortest form, and `end()` refuses unread bytes. Every failure is a `StenoError` with the code given to the reader.
 * Nothing is copied: a reader returns views into its input.
 *
 * Tested in `wire.test.ts`.
 */
import { StenoError } from '../base/errors.js';
import type { ErrorCode } from '../base/errors.js';

// Both exist in every browser and in Node, but are not in the `lib` of this folder.
declare const TextDecoder: new (
  label: string,
  options: { fatal: boolean; ignoreBOM: boolean },
) => {
  decode(bytes: Uint8Array): string;
};
declare const TextEncoder: new () => { encode(text: string): Uint8Array };

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** UTF-8 bytes of a text. */
export function utf8Bytes(text: string): Uint8Array {
  return encoder.encode(text);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export class SshReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #code: ErrorCode;
  #at = 0;

  /** `code`: the error code for malformed bytes. */
  constructor(bytes: Uint8Array, code: ErrorCode) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#code = code;
  }

  /** Bytes read so far. */
  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  fail(detail: string): never {
    throw new StenoError(this.#code, detail);
  }

  byte(what: string): number {
    return this.#view.getUint8(this.#take(1, what));
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.#take(4, what));
  }

  uint64(what: string): bigint {
    return this.#view.getBigUint64(this.#take(8, what));
  }

  /** Exactly `length` bytes, without a length prefix. */
  raw(length: number, what: string): Uint8Array {
    const start = this.#take(length, what);
    return this.#bytes.subarray(start, start + length);
  }

  /** A `string` of at most `limit` bytes. */
  string(what: string, limit = this.#bytes.length): Uint8Array {
    const length = this.uint32(what);
    if (length > limit) this.fail(`${what} is longer than ${limit} bytes`);
    return this.raw(length, what);
  }

  /** A `string` that is UTF-8 text without NUL, at which C programs reading the same data would stop. */
  utf8(what: string, limit?: number): string {
    const bytes = this.string(what, limit);
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      return this.fail(`${what} is not UTF-8`);
    }
    if (text.includes('\0')) this.fail(`${what} contains NUL`);
    return text;
  }

  /** A positive `mpint` in its shortest form; returned big-endian without the sign byte. */
  mpint(what: string, limit?: number): Uint8Array {
    const bytes = this.string(what, limit);
    const first = bytes[0];
    if (first === undefined) return this.fail(`${what} is zero`);
    if (first >= 0x80) this.fail(`${what} is negative`);
    if (first !== 0) return bytes;
    if ((bytes[1] ?? 0) < 0x80) this.fail(`${what} is not in its shortest form`);
    return bytes.subarray(1);
  }

  /** A `name-list`: comma-separated printable ASCII, no empty names. */
  nameList(what: string, limit?: number): readonly string[] {
    const text = this.utf8(what, limit);
    if (text === '') return [];
    if (!/^[!-+\--~]+(,[!-+\--~]+)*$/.test(text)) this.fail(`${what} is not a list of names`);
    return text.split(',');
  }

  /** A reader for the content of the next `string`; its own `end()` must be called too. */
  nested(what: string, limit?: number): SshReader {
    return new SshReader(this.string(what, limit), this.#code);
  }

  end(what: string): void {
    if (this.remaining > 0) this.fail(`${this.remaining} bytes follow the end of ${what}`);
  }

  #take(length: number, what: string): number {
    if (length > this.remaining) this.fail(`it ends inside ${what}`);
    const start = this.#at;
    this.#at += length;
    return start;
  }
}

export class SshWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  byte(value: number): this {
    this.#room(1).setUint8(0, value);
    return this;
  }

  uint32(value: number): this {
    this.#room(4).setUint32(0, value);
    return this;
  }

  uint64(value: bigint): this {
    this.#room(8).setBigUint64(0, value);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const view = this.#room(bytes.length);
    new Uint8Array(view.buffer, view.byteOffset, bytes.length).set(bytes);
    return this;
  }

  string(bytes: Uint8Array): this {
    return this.uint32(bytes.length).raw(bytes);
  }

  utf8(text: string): this {
    return this.string(utf8Bytes(text));
  }

  /** A positive number, big-endian; leading zeros are dropped, a sign byte is added if needed. */
  mpint(magnitude: Uint8Array): this {
    const first = magnitude.findIndex((byte) => byte !== 0);
    const digits = first === -1 ? new Uint8Array(0) : magnitude.subarray(first);
    return (digits[0] ?? 0) >= 0x80
      ? this.uint32(digits.length + 1)
          .byte(0)
          .raw(digits)
      : this.string(digits);
  }

  nameList(names: readonly string[]): this {
    return this.utf8(names.join(','));
  }

  /** A copy of everything written. */
  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(length: number): DataView {
    const start = this.#length;
    this.#length += length;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    return new DataView(this.#bytes.buffer, start, length);
  }
}
