/**
 * Header blocks of SPDY/3.1, with which Kubernetes clients open streams:
 *
 *     u32 count ‖ count × (u32 length ‖ name ‖ u32 length ‖ value)      compressed: one zlib stream per direction, a sync flush
 *                                                                        after each block, the dictionary below in front
 *
 * A block that ends in a sync flush ends on a byte boundary, so each block is inflated separately with the preceding 32 KiB as dictionary:
 * zlib keeps no state, and no block inflates beyond its limit. Written blocks are stored, not compressed: they contain no more than the
 * request line did, and any zlib can read them. Tested in spdy.test.ts and as a fuzz target.
 */
import { constants, inflateRawSync } from 'node:zlib';

/** The peer violated SPDY as this gateway supports it: the connection is over. */
export class SpdyError extends Error {}

export type Headers = ReadonlyMap<string, string>;

/** Limit of one block, both compressed and inflated. Kubernetes clients send some 200 bytes. */
export const MAX_BLOCK = 16_384;
const MAX_HEADERS = 64;
const WINDOW = 32_768;

const words =
  'options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization ' +
  'cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range ' +
  'content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified ' +
  'location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding ' +
  'upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin';
const tail =
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information' +
  '204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error' +
  '501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, ' +
  'Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,' +
  'publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.';

/** Section 2.6.10.1 of the SPDY/3 draft. */
export const dictionary = Buffer.concat([...words.split(' ').map((word) => text(word.replace('_', ' '))), Buffer.from(tail, 'latin1')]);
/** The head of a zlib stream that begins with the dictionary: method and window, flags, Adler-32 of the dictionary. */
const zlibHead = Buffer.of(0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2);

/** Reads the blocks of one direction of a connection: every block must pass through it, in order. */
export class HeaderReader {
  #window: Buffer = dictionary;
  #begun = false;

  /** Throws SpdyError. */
  read(block: Buffer): Headers {
    if (block.length > MAX_BLOCK) throw new SpdyError('a header block beyond the limit');
    let deflated = block;
    if (!this.#begun) {
      // Level and window bits are the sender's choice; the method and the dictionary are fixed.
      const sound = block.length >= 6 && (block[0]! & 0x0f) === 8 && (block[1]! & 0x20) !== 0 && block.readUInt16BE(0) % 31 === 0;
      if (!sound || !block.subarray(2, 6).equals(zlibHead.subarray(2))) throw new SpdyError('headers without the dictionary of SPDY/3');
      deflated = block.subarray(6);
      this.#begun = true;
    }
    const inflated = this.#inflate(deflated);
    this.#window = Buffer.concat([this.#window, inflated]).subarray(-WINDOW);
    return parse(inflated);
  }

  #inflate(deflated: Buffer): Buffer {
    try {
      return inflateRawSync(deflated, { dictionary: this.#window, finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_BLOCK });
    } catch (error) {
      throw new SpdyError('a header block that does not inflate within its limit', { cause: error });
    }
  }
}

export class HeaderWriter {
  #begun = false;

  write(headers: Headers): Buffer {
    const plain = Buffer.concat([u32(headers.size), ...[...headers].flatMap(([name, value]) => [text(name), text(value)])]);
    // One stored block, and an empty one, which is a sync flush.
    const stored = Buffer.concat([Buffer.of(0), lengthOf(plain.length), plain, Buffer.of(0), lengthOf(0)]);
    const block = this.#begun ? stored : Buffer.concat([zlibHead, stored]);
    this.#begun = true;
    return block;
  }
}

function parse(block: Buffer): Headers {
  let at = 0;
  const number = (): number => {
    if (at + 4 > block.length) throw new SpdyError('a header block that is cut short');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const word = (): string => {
    const length = number();
    if (length > block.length - at) throw new SpdyError('a header block that is cut short');
    at += length;
    return block.toString('latin1', at - length, at);
  };
  const count = number();
  if (count > MAX_HEADERS) throw new SpdyError('too many headers');
  const headers = new Map<string, string>();
  for (let i = 0; i < count; i++) {
    const [name, value] = [word(), word()];
    if (!/^[\x21-\x40\x5b-\x7e]+$/.test(name) || headers.has(name)) throw new SpdyError('a header name that is none, or occurs twice');
    headers.set(name, value);
  }
  if (at !== block.length) throw new SpdyError('bytes after the headers');
  return headers;
}

function text(word: string): Buffer {
  const bytes = Buffer.from(word, 'latin1');
  return Buffer.concat([u32(bytes.length), bytes]);
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Length field of a stored block: the length and its complement. */
function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(length);
  bytes.writeUInt16LE(length ^ 0xffff, 2);
  return bytes;
}
