/**
 * Streams without a terminal: commands, sftp, forwarded connections. Every direction is counted and hashed whole; its
 * first `limit` bytes are kept, all of them when the role says `full`.
 *
 * Text of the session itself becomes `o` and `i` lines, everything else `b` lines. Limits: whether a chunk is text is
 * decided chunk by chunk: UTF-8, and by its first KiB not full of control characters. Tested in recorder.test.ts.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { StreamName } from '#schemas/recording/line.js';
import { wholeUtf8 } from './escape.js';
import type { SignedLog } from './signed-log.js';

/** Raw bytes of one `b` line. */
export const RAW_BYTES = 32 << 10;
/** Bytes of a chunk by which it is told what it is full of. */
const LOOKED_AT = 1024;
const ESC = 0x1b;
/** How long an incomplete UTF-8 sequence waits for its rest, in ms. */
export const HOLD_MS = 100;

interface Direction {
  readonly stream: StreamName;
  readonly channel: number | undefined;
  readonly hash: Hash;
  bytes: number;
  kept: number;
  over: boolean;
  held: Buffer | null;
  heldAt: number;
}

export class Streams {
  readonly #log: SignedLog;
  readonly #limit: number;
  readonly #directions: Direction[] = [];
  /** Which stream `o` lines come from. */
  #current: 'out' | 'err' = 'out';

  /** `limit`: bytes kept per direction, Infinity for all. */
  constructor(log: SignedLog, limit: number) {
    this.#log = log;
    this.#limit = limit;
  }

  get dueAt(): number {
    let due = Infinity;
    for (const { held, heldAt } of this.#directions) if (held !== null) due = Math.min(due, heldAt + HOLD_MS);
    return due;
  }

  /** Records bytes at session time `now`. Throws as SignedLog; they count as passed all the same. */
  take(stream: StreamName, bytes: Buffer, channel: number | undefined, now: number): void {
    const direction = this.#direction(stream, channel);
    direction.bytes += bytes.length;
    direction.hash.update(bytes);
    if (direction.over) return;
    const room = this.#limit - direction.kept;
    const keep = bytes.length > room ? bytes.subarray(0, room) : bytes;
    direction.kept += keep.length;
    if (keep.length > 0) this.#keep(direction, keep, now);
    if (keep.length === bytes.length) return;
    direction.over = true;
    this.#release(direction, now);
    this.#log.line({ code: 'g', data: { reason: 'body_limit', stream, ...(channel === undefined ? {} : { channel }) } }, now);
  }

  /** Writes what waited for its rest too long. */
  expire(now: number): void {
    for (const direction of this.#directions) if (now >= direction.heldAt + HOLD_MS) this.#release(direction, now);
  }

  /** Writes everything held; before lines that must come after all bytes. */
  releaseAll(now: number): void {
    for (const direction of this.#directions) this.#release(direction, now);
  }

  /** Writes the totals of one channel, or of all streams, and forgets them. */
  total(now: number, channel?: number): void {
    for (const direction of [...this.#directions]) {
      if (channel !== undefined && direction.channel !== channel) continue;
      this.#release(direction, now);
      this.#directions.splice(this.#directions.indexOf(direction), 1);
      const { stream, bytes, hash } = direction;
      const of = direction.channel === undefined ? {} : { channel: direction.channel };
      this.#log.line({ code: 's', data: { fact: 'total', stream, ...of, bytes, sha256: hash.digest('hex') } }, now);
    }
  }

  #direction(stream: StreamName, channel: number | undefined): Direction {
    for (const direction of this.#directions) if (direction.stream === stream && direction.channel === channel) return direction;
    const direction: Direction = { stream, channel, hash: createHash('sha256'), bytes: 0, kept: 0, over: false, held: null, heldAt: 0 };
    this.#directions.push(direction);
    return direction;
  }

  #keep(direction: Direction, bytes: Buffer, now: number): void {
    if (direction.channel !== undefined) {
      this.#raw(direction, bytes, now);
      return;
    }
    const chunk = direction.held === null ? bytes : Buffer.concat([direction.held, bytes]);
    direction.held = null;
    const whole = wholeUtf8(chunk);
    if (!isUtf8(chunk.subarray(0, whole)) || isFullOfControls(chunk)) {
      this.#raw(direction, chunk, now);
      return;
    }
    if (whole < chunk.length) {
      direction.held = Buffer.from(chunk.subarray(whole));
      direction.heldAt = now;
    }
    if (whole === 0) return;
    if (direction.stream === 'in') {
      this.#log.text('i', chunk.subarray(0, whole), now);
      return;
    }
    if (direction.stream !== this.#current) {
      this.#log.line({ code: 's', data: { fact: 'stream', name: direction.stream === 'out' ? 'stdout' : 'stderr' } }, now);
      this.#current = direction.stream;
    }
    this.#log.text('o', chunk.subarray(0, whole), now);
  }

  #release(direction: Direction, now: number): void {
    if (direction.held === null) return;
    const { held } = direction;
    direction.held = null;
    this.#raw(direction, held, now);
  }

  #raw({ stream, channel }: Direction, bytes: Buffer, now: number): void {
    const of = channel === undefined ? {} : { channel };
    for (let start = 0; start < bytes.length; start += RAW_BYTES) {
      const base64 = bytes.toString('base64', start, Math.min(bytes.length, start + RAW_BYTES));
      this.#log.line({ code: 'b', data: { stream, ...of, replaces: false, base64 } }, now);
    }
  }
}

/** Zeros and the like are UTF-8 too, but take six bytes each in JSON. Sequences of terminals begin with ESC: that is text. */
function isFullOfControls(chunk: Buffer): boolean {
  const looked = Math.min(chunk.length, LOOKED_AT);
  let controls = 0;
  for (let i = 0; i < looked; i++) {
    const byte = chunk[i]!;
    if (byte < 0x20 && byte !== ESC && (byte < 0x08 || byte > 0x0d)) controls += 1;
  }
  return controls * 8 > looked;
}
