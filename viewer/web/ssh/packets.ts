/**
 * The binary packet protocol (RFC 4253 section 6), unencrypted before the first keys and encrypted after:
 *
 *     uint32 length │ byte padding length │ payload │ padding             plain, multiples of 8 bytes
 *     uint32 length │ encrypted: padding length, payload, padding │ tag   AES-GCM, multiples of 16 (RFC 5647 section 7.2)
 *
 * `PacketBuffer` cuts incoming data, which arrives in pieces of any size, into packets. Limits: a packet has at most `MAX_PACKET`
 * bytes, and incoming data is bounded by the channel's window, since no other message may be long. Tested in packets.test.ts and fuzzed
 * (test/fuzz/targets/page-ssh.ts).
 */
import { StenoError } from '#schemas/base/errors.js';
import { concatBytes } from '#schemas/ssh/wire.js';
import { PacketCipher, randomBytes } from './web-crypto.js';

/** Twice the maximum that the client allows the other side for one message. */
export const MAX_PACKET = 64 * 1024;
/** Bytes of lines before the identification, and of the identification (RFC 4253 section 4.2). */
const MAX_PREAMBLE = 8 * 1024;
const MAX_LINE = 255;
const MIN_PADDING = 4;
const PLAIN_BLOCK = 8;
const GCM_BLOCK = 16;

export class PacketBuffer {
  #bytes: Uint8Array = new Uint8Array(0);
  #later: Uint8Array[] = [];

  put(bytes: Uint8Array): void {
    this.#later.push(bytes);
  }

  /** The other side's identification without its line end, or null until it arrives; other lines before it are skipped. */
  identification(): string | null {
    for (;;) {
      this.#join();
      const end = this.#bytes.indexOf(10);
      if (end < 0) {
        if (this.#bytes.length > MAX_LINE) throw new StenoError('SSH_PROTOCOL', 'its first line is too long');
        return null;
      }
      if (end > MAX_LINE) throw new StenoError('SSH_PROTOCOL', 'its first line is too long');
      const line = String.fromCharCode(...this.#bytes.subarray(0, end)).replace(/\r$/, '');
      this.#skipped += end + 1;
      if (this.#skipped > MAX_PREAMBLE) throw new StenoError('SSH_PROTOCOL', 'it does not identify itself');
      this.#bytes = this.#bytes.subarray(end + 1);
      if (!line.startsWith('SSH-')) continue;
      if (!/^SSH-2\.0-[!-~]{1,200}( [ -~]*)?$/.test(line)) throw new StenoError('SSH_PROTOCOL', 'it does not speak SSH 2.0');
      return line;
    }
  }
  #skipped = 0;

  /** The next packet, or null while it is incomplete. `tagged`: encrypted. */
  next(tagged: boolean): { readonly length: Uint8Array; readonly body: Uint8Array } | null {
    this.#join();
    if (this.#bytes.length < 4) return null;
    const size = new DataView(this.#bytes.buffer, this.#bytes.byteOffset).getUint32(0);
    const block = tagged ? GCM_BLOCK : PLAIN_BLOCK;
    // The length field counts towards whole blocks only in a plain packet (RFC 4253 section 6, RFC 5647 section 7.2).
    if (size > MAX_PACKET || size < block - (tagged ? 0 : 4) || (size + (tagged ? 0 : 4)) % block !== 0)
      throw new StenoError('SSH_PROTOCOL', 'a packet has an impossible length');
    const end = 4 + size + (tagged ? PacketCipher.tagBytes : 0);
    if (this.#bytes.length < end) return null;
    const packet = { length: this.#bytes.subarray(0, 4), body: this.#bytes.subarray(4, end) };
    this.#bytes = this.#bytes.subarray(end);
    return packet;
  }

  #join(): void {
    if (this.#later.length === 0) return;
    this.#bytes = this.#bytes.length === 0 && this.#later.length === 1 ? this.#later[0]! : concatBytes(this.#bytes, ...this.#later);
    this.#later = [];
  }
}

/** The payload of a decrypted or plain packet; never empty. */
export function payloadOf(body: Uint8Array): Uint8Array {
  const padding = body[0] ?? 0;
  if (padding < MIN_PADDING || padding + 1 >= body.length) throw new StenoError('SSH_PROTOCOL', 'the padding of a packet is wrong');
  return body.subarray(1, body.length - padding);
}

/** The part of a packet to be encrypted, and the length before it. */
export function framed(payload: Uint8Array, tagged: boolean): { readonly length: Uint8Array; readonly body: Uint8Array } {
  const block = tagged ? GCM_BLOCK : PLAIN_BLOCK;
  let padding = block - ((1 + payload.length + (tagged ? 0 : 4)) % block);
  if (padding < MIN_PADDING) padding += block;
  const size = 1 + payload.length + padding;
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, size);
  return { length, body: concatBytes(Uint8Array.of(padding), payload, randomBytes(padding)) };
}

/** A whole packet. */
export async function sealed(payload: Uint8Array, cipher: PacketCipher | null): Promise<Uint8Array> {
  const { length, body } = framed(payload, cipher !== null);
  return concatBytes(length, cipher === null ? body : await cipher.encrypt(body, length));
}
