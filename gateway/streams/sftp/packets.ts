/**
 * The numbers and fields of SFTP version 3: draft-ietf-secsh-filexfer-02, and OpenSSH's PROTOCOL, section 4.
 * A packet is `u32 length ‖ u8 type ‖ u32 id ‖ fields`; the id is the version in the first packet each way.
 */
import { Lost } from '../observing/feed.js';

export const types = {
  init: 1,
  version: 2,
  open: 3,
  close: 4,
  read: 5,
  write: 6,
  lstat: 7,
  fstat: 8,
  setstat: 9,
  fsetstat: 10,
  opendir: 11,
  readdir: 12,
  remove: 13,
  mkdir: 14,
  rmdir: 15,
  realpath: 16,
  stat: 17,
  rename: 18,
  readlink: 19,
  symlink: 20,
  status: 101,
  handle: 102,
  data: 103,
  name: 104,
  attrs: 105,
  extended: 200,
  extendedReply: 201,
} as const;

export const openFlags = { read: 1, write: 2, append: 4, create: 8, truncate: 16, exclusive: 32 } as const;
export const status = { ok: 0, eof: 1 } as const;

/** Section 7 of the draft; used if a server sends no text. */
const statusNames = [
  'success',
  'end of file',
  'no such file',
  'permission denied',
  'failure',
  'bad message',
  'no connection',
  'connection lost',
  'operation unsupported',
];
export function statusName(code: number): string {
  return statusNames[code] ?? `status ${code}`;
}

/** Longest packet accepted. OpenSSH's limit is 256 KiB; a longer packet than this is not SFTP. */
export const MAX_PACKET = 1024 * 1024;
/** Longest handle, by the draft. */
export const MAX_HANDLE = 256;

export interface Attributes {
  readonly size: number | undefined;
  readonly mode: number | undefined;
  /** The other attributes that are set, in words. */
  readonly others: readonly string[];
}

/** Reads fields from one packet's bytes; a field beyond its end means that the stream is not SFTP. */
export class Fields {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  u32(): number {
    if (this.left < 4) throw new Lost('a packet is shorter than its fields');
    this.at += 4;
    return this.bytes.readUInt32BE(this.at - 4);
  }

  /** The result is inexact beyond 2^53; `Content` refuses such offsets. */
  u64(): number {
    const high = this.u32();
    return high * 2 ** 32 + this.u32();
  }

  raw(): Buffer {
    const length = this.u32();
    if (length > this.left) throw new Lost('a packet is shorter than its fields');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(): string {
    return this.raw().toString('utf8');
  }

  /** A handle as the key of a map: its bytes are opaque. */
  handle(): string {
    return this.raw().toString('latin1');
  }

  attributes(): Attributes {
    const flags = this.u32();
    const size = (flags & 1) !== 0 ? this.u64() : undefined;
    const others: string[] = [];
    if ((flags & 2) !== 0) others.push(`owner ${this.u32()}:${this.u32()}`);
    const mode = (flags & 4) !== 0 ? this.u32() & 0o7777 : undefined;
    if ((flags & 8) !== 0) {
      this.u32();
      others.push(`modified ${new Date(this.u32() * 1000).toISOString()}`);
    }
    return { size, mode, others };
  }
}
