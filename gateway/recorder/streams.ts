/**
 * Streams without a terminal: commands, sftp, forwarded connections. Every direction is counted and hashed in full. The role
 * decides which directions are kept in full and which only up to a limit (`RecordingMode`); beyond the limit a tail is kept
 * as well:
 *
 *     whole ◄──no longer followed── head ──over `limit`──► tail ──pause or end: a gap, then the last 16 KiB──┐
 *       ▲                                                   │  ▲                                             │
 *       └──────────────no longer followed───────────────────┘  └─────────────────────────────────────────────┘
 *
 * A gap is written when the first byte is dropped, without a byte count, because the session may be cut off before the count
 * is known; it is written again, with the count, before the tail. Bytes that arrive slowly enough to fit are not dropped at
 * all.
 *
 * Text of the session itself becomes `o` and `i` lines, everything else `b` lines. Limits: each chunk is classified by
 * itself; it is text if it is UTF-8 and its first KiB is not full of control characters. A busy direction over its limit
 * holds `TAIL_BYTES` of memory, an idle one none. Tested in recorder.test.ts.
 */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { RecordingMode, StreamName } from '#schemas/recording/line.js';
import type { Follows } from '../streams/observing/observer.js';
import { wholeUtf8 } from '../spool/escape.js';
import type { SignedLog } from '../spool/signed-log.js';
import { Tail } from './tail.js';

/** Raw bytes of one `b` line. */
export const RAW_BYTES = 32 << 10;
/** Bytes of a chunk that are examined to classify it. */
const LOOKED_AT = 1024;
const ESC = 0x1b;
/** How long an incomplete UTF-8 sequence waits for the rest, in ms. */
export const HOLD_MS = 100;
/** A direction pauses after this long without a byte, in ms. */
export const PAUSE_MS = 1_000;

interface Direction {
  readonly stream: StreamName;
  readonly channel: number | undefined;
  readonly hash: Hash;
  bytes: number;
  /** Bytes kept in the head. */
  kept: number;
  tail: Tail | null;
  held: Buffer | null;
  heldAt: number;
}

export class Streams {
  readonly #log: SignedLog;
  readonly #mode: RecordingMode;
  readonly #directions: Direction[] = [];
  /** The stream that `o` lines currently come from. */
  #current: 'out' | 'err' = 'out';
  #follows: Follows = 'neither';

  constructor(log: SignedLog, mode: RecordingMode) {
    this.#log = log;
    this.#mode = mode;
  }

  get dueAt(): number {
    let due = Infinity;
    for (const direction of this.#directions) {
      if (direction.held !== null) due = Math.min(due, direction.heldAt + HOLD_MS);
      if (direction.tail !== null) due = Math.min(due, tailDue(direction.tail));
    }
    return due;
  }

  /**
   * Changes which streams are parsed, from the next bytes on. A stream that is no longer parsed is kept in full, together
   * with the bytes still held from before.
   */
  follow(follows: Follows): void {
    this.#follows = follows;
  }

  /** Records bytes at session time `now`. Throws as SignedLog does; the bytes count as passed all the same. */
  take(stream: StreamName, bytes: Buffer, channel: number | undefined, now: number): void {
    const direction = this.#direction(stream, channel);
    direction.bytes += bytes.length;
    direction.hash.update(bytes);
    if (this.#isWhole(direction)) {
      this.#writeTail(direction, now);
      return this.#keep(direction, bytes, now);
    }
    const room = this.#mode.limit - direction.kept;
    const head = bytes.length > room ? bytes.subarray(0, room) : bytes;
    direction.kept += head.length;
    if (head.length > 0) this.#keep(direction, head, now);
    if (head.length === bytes.length) return;
    this.#release(direction, now);
    const tail = (direction.tail ??= new Tail(now));
    const unbroken = tail.dropped === 0;
    tail.push(bytes.subarray(head.length), now);
    if (unbroken && tail.dropped > 0) this.#log.line({ code: 'g', data: { reason: 'body_limit', stream, ...ofChannel(direction) } }, now);
  }

  /** Writes bytes that waited too long, for the rest of a character or for more data. */
  expire(now: number): void {
    for (const direction of this.#directions) {
      if (now >= direction.heldAt + HOLD_MS) this.#release(direction, now);
      if (direction.tail !== null && now >= tailDue(direction.tail)) this.#writeTail(direction, now);
    }
  }

  /** Writes everything held; called before lines that must come after all bytes. */
  releaseAll(now: number): void {
    for (const direction of this.#directions) this.#release(direction, now);
  }

  /** Writes the tails of the session's own streams; called before the exit line. */
  writeTails(now: number): void {
    for (const direction of this.#directions) if (direction.channel === undefined) this.#writeTail(direction, now);
  }

  /** Writes the totals of one channel, or of all streams, and forgets them. */
  total(now: number, channel?: number): void {
    for (const direction of [...this.#directions]) {
      if (channel !== undefined && direction.channel !== channel) continue;
      this.#writeTail(direction, now);
      this.#release(direction, now);
      this.#directions.splice(this.#directions.indexOf(direction), 1);
      const { stream, bytes, hash } = direction;
      this.#log.line({ code: 's', data: { fact: 'total', stream, ...ofChannel(direction), bytes, sha256: hash.digest('hex') } }, now);
    }
  }

  #isWhole({ stream, channel }: Direction): boolean {
    switch (this.#mode.streams) {
      case 'full':
        return true;
      case 'limited':
        return false;
      case 'commands':
        return channel === undefined && (stream === 'err' || (this.#follows !== 'both' && this.#follows !== stream));
    }
  }

  #writeTail(direction: Direction, now: number): void {
    const { tail, stream } = direction;
    if (tail === null) return;
    direction.tail = null;
    let bytes = tail.bytes();
    if (tail.dropped > 0) {
      this.#log.line({ code: 'g', data: { reason: 'body_limit', stream, ...ofChannel(direction), bytes: tail.dropped } }, now);
      // The rest of a character whose start was dropped would turn the whole chunk into a `b` line.
      let cut = 0;
      while (cut < 3 && (bytes[cut]! & 0xc0) === 0x80) cut += 1;
      if (cut > 0) this.#raw(direction, bytes.subarray(0, cut), now);
      bytes = bytes.subarray(cut);
    }
    this.#keep(direction, bytes, now);
  }

  #direction(stream: StreamName, channel: number | undefined): Direction {
    for (const direction of this.#directions) if (direction.stream === stream && direction.channel === channel) return direction;
    const direction: Direction = { stream, channel, hash: createHash('sha256'), bytes: 0, kept: 0, tail: null, held: null, heldAt: 0 };
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

  #raw(direction: Direction, bytes: Buffer, now: number): void {
    const { stream } = direction;
    const of = ofChannel(direction);
    for (let start = 0; start < bytes.length; start += RAW_BYTES) {
      const base64 = bytes.toString('base64', start, Math.min(bytes.length, start + RAW_BYTES));
      this.#log.line({ code: 'b', data: { stream, ...of, replaces: false, base64 } }, now);
    }
  }
}

/** When a tail is written: one second after its first byte if nothing was dropped, otherwise when the stream pauses. */
function tailDue({ dropped, since, until }: Tail): number {
  return (dropped === 0 ? since : until) + PAUSE_MS;
}

function ofChannel({ channel }: Direction): { readonly channel?: number } {
  return channel === undefined ? {} : { channel };
}

/**
 * Zeros and the like are valid UTF-8 but take six bytes each in JSON. Terminal sequences begin with ESC, which counts as
 * text.
 */
function isFullOfControls(chunk: Buffer): boolean {
  const looked = Math.min(chunk.length, LOOKED_AT);
  let controls = 0;
  for (let i = 0; i < looked; i++) {
    const byte = chunk[i]!;
    if (byte < 0x20 && byte !== ESC && (byte < 0x08 || byte > 0x0d)) controls += 1;
  }
  return controls * 8 > looked;
}
