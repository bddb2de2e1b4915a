/**
 * Splits a streamed JSON object into its members, and requested arrays among them into their elements: whatever the size of the whole, one
 * member or element is held at a time. Strict: anything but exactly one object is an error. `Values` splits a stream of JSON objects, such
 * as a watch, in the same way. Tested in filter.test.ts.
 */

/** The answer is not JSON of the expected form. */
export class FormError extends Error {}

/** An object in etcd has at most 1.5 MiB; aggregated APIs may answer larger ones. */
export const MAX_VALUE = 16 << 20;

export type Piece =
  | { readonly kind: 'member'; readonly key: string; readonly json: string }
  | { readonly kind: 'array'; readonly key: string }
  | { readonly kind: 'element'; readonly key: string; readonly json: string }
  | { readonly kind: 'array_end'; readonly key: string };

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

/** One JSON value that arrives in pieces. */
class Value {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #depth = 0;
  #string = false;
  #escaped = false;
  #begun = false;

  /**
   * Takes bytes from `at` on; returns the offset after the value, or -1 if it continues. A number or word ends at the byte that follows it.
   */
  take(chunk: Buffer, at: number): number {
    const end = this.#scan(chunk, at);
    const upTo = end === -1 ? chunk.length : end;
    this.#bytes += upTo - at;
    if (this.#bytes > MAX_VALUE) throw new FormError('a value beyond the limit');
    if (upTo > at) this.#chunks.push(chunk.subarray(at, upTo));
    return end;
  }

  /** Returns the text of the value and resets it for the next one. */
  text(): string {
    const whole = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#bytes = 0;
    this.#begun = false;
    return whole.toString('utf8');
  }

  #scan(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (this.#string) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) {
          this.#string = false;
          if (this.#depth === 0) return at + 1;
        }
        continue;
      }
      switch (byte) {
        case QUOTE:
          if (this.#depth === 0 && this.#begun) throw new FormError('a value in a value');
          this.#string = true;
          break;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          this.#depth += 1;
          break;
        case CLOSE_BRACE:
        case CLOSE_BRACKET:
          if (this.#depth === 0) return at;
          this.#depth -= 1;
          if (this.#depth === 0) return at + 1;
          break;
        case COMMA:
          if (this.#depth === 0) return at;
          break;
        default:
          if (this.#depth === 0 && this.#begun && isSpace(byte)) return at;
      }
      this.#begun = true;
    }
    return -1;
  }
}

type State = 'start' | 'first_key' | 'key' | 'colon' | 'value' | 'next' | 'first_element' | 'element' | 'next_element' | 'done';

export class Members {
  readonly #arrays: ReadonlySet<string>;
  readonly #value = new Value();
  #state: State = 'start';
  /** Part of the current key or value has been taken. */
  #within = false;
  #key = '';

  /** `arrays`: members that are split into elements if they are arrays. */
  constructor(arrays: ReadonlySet<string>) {
    this.#arrays = arrays;
  }

  *push(chunk: Buffer): Generator<Piece> {
    let at = 0;
    while (at < chunk.length) {
      const byte = chunk[at]!;
      if (!this.#within && isSpace(byte)) {
        at += 1;
        continue;
      }
      switch (this.#state) {
        case 'start':
          if (byte !== OPEN_BRACE) throw new FormError('no object');
          this.#state = 'first_key';
          at += 1;
          break;
        case 'first_key':
        case 'key': {
          if (!this.#within && byte === CLOSE_BRACE && this.#state === 'first_key') {
            this.#state = 'done';
            at += 1;
            break;
          }
          if (!this.#within && byte !== QUOTE) throw new FormError('no key');
          const end = this.#take(chunk, at);
          if (end === -1) return;
          at = end;
          this.#key = parse(this.#value.text()) as string;
          this.#state = 'colon';
          break;
        }
        case 'colon':
          if (byte !== COLON) throw new FormError('no colon');
          this.#state = 'value';
          at += 1;
          break;
        case 'value': {
          if (!this.#within && byte === OPEN_BRACKET && this.#arrays.has(this.#key)) {
            yield { kind: 'array', key: this.#key };
            this.#state = 'first_element';
            at += 1;
            break;
          }
          const end = this.#take(chunk, at);
          if (end === -1) return;
          at = end;
          yield { kind: 'member', key: this.#key, json: this.#value.text() };
          this.#state = 'next';
          break;
        }
        case 'next':
          if (byte !== COMMA && byte !== CLOSE_BRACE) throw new FormError('no comma');
          this.#state = byte === COMMA ? 'key' : 'done';
          at += 1;
          break;
        case 'first_element':
        case 'element': {
          if (!this.#within && byte === CLOSE_BRACKET && this.#state === 'first_element') {
            at += 1;
            this.#state = 'next';
            yield { kind: 'array_end', key: this.#key };
            break;
          }
          const end = this.#take(chunk, at);
          if (end === -1) return;
          at = end;
          yield { kind: 'element', key: this.#key, json: this.#value.text() };
          this.#state = 'next_element';
          break;
        }
        case 'next_element':
          if (byte !== COMMA && byte !== CLOSE_BRACKET) throw new FormError('no comma');
          at += 1;
          if (byte === COMMA) this.#state = 'element';
          else {
            this.#state = 'next';
            yield { kind: 'array_end', key: this.#key };
          }
          break;
        case 'done':
          throw new FormError('something after the end');
      }
    }
  }

  /** Throws FormError if the object is incomplete. */
  end(): void {
    if (this.#state !== 'done') throw new FormError('cut short');
  }

  #take(chunk: Buffer, at: number): number {
    const end = this.#value.take(chunk, at);
    this.#within = end === -1;
    return end;
  }
}

/** Objects one after the other, with white space between them. */
export class Values {
  readonly #value = new Value();
  #within = false;

  *push(chunk: Buffer): Generator<string> {
    let at = 0;
    while (at < chunk.length) {
      if (!this.#within && isSpace(chunk[at]!)) {
        at += 1;
        continue;
      }
      if (!this.#within && chunk[at] !== OPEN_BRACE) throw new FormError('no object');
      const end = this.#value.take(chunk, at);
      this.#within = end === -1;
      if (end === -1) return;
      at = end;
      yield this.#value.text();
    }
  }
}

/** Throws FormError. */
export function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new FormError('no JSON', { cause: error });
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
