/**
 * SFTP version 3 as the page speaks it (draft-ietf-secsh-filexfer-02): `u32 length ‖ u8 type ‖ u32 id ‖ fields`. The writers of
 * requests and the readers of replies stand side by side. Server data is hostile: every length is bounded, and anything unknown ends
 * the channel. Paths and names are bytes, since a node's need not be UTF-8. Tested in packets.test.ts.
 */
import { SshReader, SshWriter, concatBytes } from '#schemas/ssh/wire.js';

/** Longest accepted packet; OpenSSH has the same limit. */
const MAX_PACKET = 256 * 1024;
const MAX_HANDLE = 256;
const MAX_PATH = 32 * 1024;
const MAX_TEXT = 4 * 1024;
const VERSION = 3;

const REQUEST = {
  ...{ init: 1, open: 3, close: 4, read: 5, write: 6, opendir: 11, readdir: 12, remove: 13, mkdir: 14, rmdir: 15 },
  ...{ realpath: 16, stat: 17, rename: 18 },
} as const;
const REPLY = { version: 2, status: 101, handle: 102, data: 103, name: 104, attrs: 105 } as const;
export const OPEN = { read: 1, write: 2, create: 8, truncate: 16 } as const;
const ATTR = { size: 1, owner: 2, mode: 4, times: 8, extended: 0x8000_0000 } as const;

export type Request =
  | { readonly kind: 'open'; readonly path: Uint8Array; readonly flags: number }
  | { readonly kind: 'close' | 'readdir'; readonly handle: Uint8Array }
  | { readonly kind: 'read'; readonly handle: Uint8Array; readonly offset: number; readonly length: number }
  | { readonly kind: 'write'; readonly handle: Uint8Array; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'opendir' | 'realpath' | 'stat' | 'remove' | 'mkdir' | 'rmdir'; readonly path: Uint8Array }
  /** In version 3, fails if `to` exists. */
  | { readonly kind: 'rename'; readonly path: Uint8Array; readonly to: Uint8Array };

export interface Attributes {
  /** Bytes; null if the server does not say. */
  readonly size: number | null;
  /** With the file type in the upper bits; null if the server does not say. */
  readonly mode: number | null;
  /** Seconds since 1970; null if the server does not say. */
  readonly modified: number | null;
}

export type Reply =
  | { readonly kind: 'version' }
  | { readonly kind: 'status'; readonly id: number; readonly code: number }
  | { readonly kind: 'handle'; readonly id: number; readonly handle: Uint8Array }
  | { readonly kind: 'data'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly kind: 'name'; readonly id: number; readonly names: readonly (Attributes & { readonly name: Uint8Array })[] }
  | { readonly kind: 'attrs'; readonly id: number; readonly attributes: Attributes };

export function initPacket(): Uint8Array {
  return framed(new SshWriter().byte(REQUEST.init).uint32(VERSION));
}

export function requestPacket(id: number, request: Request): Uint8Array {
  const writer = new SshWriter().byte(REQUEST[request.kind]).uint32(id);
  switch (request.kind) {
    case 'open':
      return framed(writer.string(request.path).uint32(request.flags).uint32(0));
    case 'close':
    case 'readdir':
      return framed(writer.string(request.handle));
    case 'read':
      return framed(writer.string(request.handle).uint64(BigInt(request.offset)).uint32(request.length));
    case 'write':
      return framed(writer.string(request.handle).uint64(BigInt(request.offset)).string(request.bytes));
    case 'opendir':
    case 'realpath':
    case 'stat':
    case 'remove':
    case 'rmdir':
      return framed(writer.string(request.path));
    case 'mkdir':
      // No attributes: the node's umask decides.
      return framed(writer.string(request.path).uint32(0));
    case 'rename':
      return framed(writer.string(request.path).string(request.to));
  }
}

function framed(writer: SshWriter): Uint8Array {
  return new SshWriter().string(writer.bytes()).bytes();
}

/** Cuts incoming data, which arrives in pieces of any size, into replies. Throws SSH_PROTOCOL. */
export class ReplyBuffer {
  #bytes: Uint8Array = new Uint8Array(0);
  #later: Uint8Array[] = [];
  #waiting = 0;

  put(bytes: Uint8Array): void {
    this.#later.push(bytes);
    this.#waiting += bytes.length;
  }

  /** Null while the next reply is incomplete. The bytes in a reply are copies. */
  next(): Reply | null {
    if (this.#bytes.length < 4) this.#join();
    if (this.#bytes.length < 4) return null;
    const length = new DataView(this.#bytes.buffer, this.#bytes.byteOffset).getUint32(0);
    const reader = new SshReader(this.#bytes, 'SSH_PROTOCOL');
    if (length < 5 || length > MAX_PACKET) reader.fail('an SFTP packet has an impossible length');
    if (this.#bytes.length < 4 + length) {
      if (this.#bytes.length + this.#waiting < 4 + length) return null;
      this.#join();
    }
    const packet = this.#bytes.slice(4, 4 + length);
    this.#bytes = this.#bytes.subarray(4 + length);
    return replyOf(packet);
  }

  #join(): void {
    if (this.#later.length === 0) return;
    this.#bytes = concatBytes(this.#bytes, ...this.#later);
    this.#later = [];
    this.#waiting = 0;
  }
}

function replyOf(packet: Uint8Array): Reply {
  const reader = new SshReader(packet, 'SSH_PROTOCOL');
  const type = reader.byte('the type');
  const id = reader.uint32('the id');
  switch (type) {
    case REPLY.version:
      // Extensions follow; the client uses none.
      if (id !== VERSION) reader.fail(`it speaks version ${id} of SFTP`);
      return { kind: 'version' };
    case REPLY.status:
      // An error text follows, in an unspecified language; the code carries the same information.
      return { kind: 'status', id, code: reader.uint32('the status') };
    case REPLY.handle:
      return { kind: 'handle', id, handle: reader.string('the handle', MAX_HANDLE) };
    case REPLY.data:
      return { kind: 'data', id, bytes: reader.string('the data', MAX_PACKET) };
    case REPLY.attrs:
      return { kind: 'attrs', id, attributes: attributesOf(reader) };
    case REPLY.name: {
      // Each entry has at least two lengths and its flags.
      const count = reader.uint32('the count');
      if (count > reader.remaining / 12) reader.fail('it names more files than it sends');
      const names = Array.from({ length: count }, () => {
        const name = reader.string('a name', MAX_PATH);
        reader.string('a long name', MAX_PATH + MAX_TEXT);
        return { name, ...attributesOf(reader) };
      });
      return { kind: 'name', id, names };
    }
    default:
      return reader.fail(`reply ${type} is none of SFTP`);
  }
}

function attributesOf(reader: SshReader): Attributes {
  const flags = reader.uint32('the flags');
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const size = has(ATTR.size) ? reader.uint64('the size') : null;
  if (size !== null && size > BigInt(Number.MAX_SAFE_INTEGER)) reader.fail('a file has an impossible size');
  if (has(ATTR.owner)) reader.raw(8, 'the owner');
  const mode = has(ATTR.mode) ? reader.uint32('the mode') : null;
  let modified: number | null = null;
  if (has(ATTR.times)) {
    reader.uint32('the time of access');
    modified = reader.uint32('the time of change');
  }
  if (has(ATTR.extended)) {
    const count = reader.uint32('the count');
    if (count > reader.remaining / 8) reader.fail('it has more attributes than it sends');
    for (let i = 0; i < count; i++) {
      reader.string('a name', MAX_TEXT);
      reader.string('a value', MAX_TEXT);
    }
  }
  return { size: size === null ? null : Number(size), mode, modified };
}
