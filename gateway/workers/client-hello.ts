/**
 * The server name in the first bytes of a TLS connection (RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3).
 *
 *     record     u8 22 ‖ u16 version ‖ u16 length ‖ fragment      a message may lie in several records
 *     message    u8 1 ‖ u24 length ‖ u16 version ‖ 32 random ‖ u8 session id ‖ u16 cipher suites ‖ u8 compression ‖ u16 extensions
 *     extension  u16 type ‖ u16 length ‖ body;  type 0: u16 list ‖ u8 0 ‖ u16 length ‖ name
 *
 * Used only to route a connection to one of several processes: input that is not understood yields no name, and the process that gets the
 * connection answers it. Reads at most `MAX_HELLO` bytes. Tested in client-hello.test.ts, with ClientHellos of OpenSSL in pieces.
 */
export const MAX_HELLO = 16_384;
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER = 5;
const MESSAGE_HEADER = 4;
const SERVER_NAME = 0;
const HOST_NAME = 0;
const MAX_NAME = 255;

export type HelloName = { readonly kind: 'more' } | { readonly kind: 'none' } | { readonly kind: 'name'; readonly name: string };

const none: HelloName = { kind: 'none' };

/** `bytes`: all that has arrived so far. `more`: the message is not complete. */
export function serverNameOf(bytes: Buffer): HelloName {
  const fragments: Buffer[] = [];
  let gathered = 0;
  for (let at = 0; ;) {
    if (at < bytes.length && bytes[at] !== HANDSHAKE) return none;
    if (bytes.length < at + RECORD_HEADER) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return none;
    const fragment = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length);
    fragments.push(fragment);
    gathered += fragment.length;
    if (fragment.length < length) break;
    at += RECORD_HEADER + length;
    const whole = Buffer.concat(fragments);
    if (whole.length >= MESSAGE_HEADER && whole.length >= MESSAGE_HEADER + whole.readUIntBE(1, 3)) return nameIn(whole);
  }
  const first = fragments[0];
  if (first !== undefined && first.length > 0 && first[0] !== CLIENT_HELLO) return none;
  return bytes.length > MAX_HELLO || gathered > MAX_HELLO ? none : { kind: 'more' };
}

/** `message`: at least as long as its header says. */
function nameIn(message: Buffer): HelloName {
  if (message[0] !== CLIENT_HELLO) return none;
  const reader = new Reader(message.subarray(MESSAGE_HEADER, MESSAGE_HEADER + message.readUIntBE(1, 3)));
  try {
    reader.skip(2 + 32);
    reader.skip(reader.number(1));
    reader.skip(reader.number(2));
    reader.skip(reader.number(1));
    const extensions = new Reader(reader.bytes(reader.number(2)));
    while (extensions.left > 0) {
      const type = extensions.number(2);
      const body = extensions.bytes(extensions.number(2));
      if (type !== SERVER_NAME) continue;
      const list = new Reader(body);
      list.skip(2);
      if (list.number(1) !== HOST_NAME) return none;
      const name = list.bytes(list.number(2)).toString('latin1');
      return /^[!-~]+$/.test(name) && name.length <= MAX_NAME ? { kind: 'name', name } : none;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return none;
}

/** Throws RangeError if the bytes end too early. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  bytes(length: number): Buffer {
    if (length > this.left) throw new RangeError('the ClientHello ends early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(length: 1 | 2): number {
    return this.bytes(length).readUIntBE(0, length);
  }

  skip(length: number): void {
    this.bytes(length);
  }
}
