/**
 * Terminal input: decides which of it is stored as text, which as size and digest only, and which as a bare gap.
 *
 * `EchoGuard` tells which input was echoed. The rest is either a secret or data. Secrets are short, and programs respond to
 * them; moving data past the screen (`stty -echo; cat > f`, sftp on a raw terminal) takes a lot of input with no echo in
 * between. Unechoed input is therefore gathered into a *streak*:
 *
 *     none ──hidden input──► short ──more than `SECRET_BYTES` hidden──► data ──echo, quiet, prompt, end──► a fact, none
 *      ▲                       │ echo, quiet, prompt, end; one line that the program answered
 *      └──────forgotten────────┘
 *
 * A short streak is forgotten: its length, digest and timing are not stored, since so short an input could be guessed from
 * its digest. For data, the size and SHA-256 of the whole streak are stored, control characters included, and the bytes too
 * if the role says `unechoed: full`. To keep data from passing as many short streaks, after `SESSION_BYTES` of them the
 * current streak no longer ends before the session does.
 *
 * Limits: an aid, not a boundary. A secret pasted in one piece with a KiB of data after it is hashed together with that
 * data; up to `SESSION_BYTES` in short streaks leave only gaps. At most `HELD_BYTES` of a short streak are held. Decision
 * 0053. Tested in typed.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import type { LineBody, RecordingMode } from '#schemas/recording/line.js';
import { EchoGuard } from './echo.js';
import type { Released } from './echo.js';
import { Authors } from './authors.js';
import { RAW_BYTES } from './streams.js';

/** Unechoed input of up to this many bytes may be a secret. */
export const SECRET_BYTES = 1024;
/** Bytes of unechoed input in short streaks, per session, after which further input is gathered into one streak. */
export const SESSION_BYTES = 64 << 10;
/** A streak ends after this long without input, in ms. */
export const QUIET_MS = 10_000;
const HELD_BYTES = 4096;
/** Echoed characters that end a streak of data; fewer may match by chance. */
const ECHO_BYTES = 8;
/** Messages larger than this are not key presses. */
const KEY_BYTES = 64;

export interface TypedSink {
  /** Input that may be stored. */
  echoed(bytes: Buffer, now: number): void;
  line(body: LineBody, now: number): void;
}

interface Streak {
  /** The bytes of the streak, until it counts as data. */
  held: Buffer[];
  hash: Hash | null;
  bytes: number;
  /** Hidden bytes among `bytes`. */
  hidden: number;
  /** Lines that the user ended. */
  lines: number;
  prompt: boolean;
}

export class TypedInput {
  readonly #sink: TypedSink;
  readonly #full: boolean;
  readonly #guard = new EchoGuard();
  #streak: Streak | null = null;
  /** Control characters of the message in which a streak may begin: data may begin with some. */
  #lead: Buffer[] = [];
  #forgotten = 0;
  /** When the user last typed. */
  #at = 0;
  #keys = true;
  readonly #authors = new Authors();
  /** Input that was stored as text. */
  readonly recorded = { hash: createHash('sha256'), bytes: 0 };

  constructor(sink: TypedSink, unechoed: NonNullable<RecordingMode['unechoed']>) {
    this.#sink = sink;
    this.#full = unechoed === 'full';
  }

  /** Session time in ms at which `expire` has something to do. */
  get dueAt(): number {
    return Math.min(this.#guard.dueAt, this.#streak === null || this.#gathers ? Infinity : this.#at + QUIET_MS);
  }

  /** Names the user who types from here on. `owner`: the session's user, who typed until this was called first. */
  typist(user: string, owner: string): void {
    this.#authors.typist(user, owner, this.#guard.waitingBytes);
  }

  typed(bytes: Buffer, now: number): void {
    this.#authors.typed(bytes.length);
    this.#keys = bytes.length <= KEY_BYTES;
    if (!this.#guard.waits) this.#lead = [];
    this.#at = now;
    this.#take(this.#guard.typed(bytes, now), now);
  }

  /** Output to the user, before it is stored. */
  shown(bytes: Buffer, now: number): void {
    const released = this.#guard.shown(bytes);
    if (released.length > 0) this.#take(released, now);
    // A program that asked for a line prints something once it has it.
    const streak = this.#streak;
    if (streak !== null && streak.hash === null && streak.lines === 1 && !this.#gathers) this.#end(now);
  }

  expire(now: number): void {
    this.#take(this.#guard.expire(now), now);
    if (this.#streak !== null && !this.#gathers && now >= this.#at + QUIET_MS) this.#end(now);
  }

  /** The session ends. */
  end(now: number): void {
    this.#take(this.#guard.end(), now);
    this.#end(now);
  }

  get #gathers(): boolean {
    return this.#forgotten > SESSION_BYTES;
  }

  #take(released: readonly Released[], now: number): void {
    for (const item of released) {
      if (this.#authors.several) this.#takeOfSeveral(item, now);
      else this.#takeOne(item, now);
    }
  }

  /** Input that waited for its echo may come from several people. */
  #takeOfSeveral(item: Released, now: number): void {
    if (item.kind === 'gap') {
      this.#say(this.#authors.next, now);
      return this.#takeOne(item, now);
    }
    for (let at = 0; at < item.bytes.length;) {
      const { user, bytes } = this.#authors.take(item.bytes.length - at);
      this.#say(user, now);
      this.#takeOne({ ...item, bytes: item.bytes.subarray(at, at + bytes) }, now);
      at += bytes;
    }
  }

  #say(user: string, now: number): void {
    if (this.#authors.says(user)) this.#sink.line({ code: 's', data: { fact: 'typist', user } }, now);
  }

  #takeOne(item: Released, now: number): void {
    switch (item.kind) {
      case 'gap':
        // One gap stands for all of the data.
        if (this.#streak?.hash == null) this.#gap(now);
        break;
      case 'hidden':
        // Input at a prompt is a secret, whatever came before it.
        if (item.prompt && this.#streak !== null && !this.#streak.prompt && !this.#gathers) {
          const data = this.#streak.hash !== null;
          this.#end(now);
          if (data) this.#gap(now);
        }
        this.#streak ??= this.#begin(item.prompt);
        this.#add(this.#streak, item.bytes, true, now);
        break;
      case 'bytes':
        if (item.echoed) this.#echoed(item.bytes, now);
        else this.#control(item.bytes, now);
    }
  }

  #gap(now: number): void {
    this.#sink.line({ code: 'g', data: { reason: 'input_not_echoed', stream: 'in' } }, now);
  }

  #echoed(bytes: Buffer, now: number): void {
    const streak = this.#streak;
    if (streak !== null && !this.#gathers && (streak.hash === null || bytes.length >= ECHO_BYTES)) this.#end(now);
    this.#lead = [];
    if (this.#streak !== null) this.#add(this.#streak, bytes, false, now);
    this.#store(bytes, now);
  }

  #control(bytes: Buffer, now: number): void {
    const streak = this.#streak;
    if (streak === null) {
      this.#lead.push(bytes);
      return this.#store(bytes, now);
    }
    const line = bytes[0] === 0x0d || bytes[0] === 0x0a;
    if (line) streak.lines += 1;
    this.#add(streak, bytes, false, now);
    if (line && streak.prompt && streak.hash === null && !this.#gathers) this.#end(now);
    this.#store(bytes, now);
  }

  /** Keys pressed during a streak of data are text; bulk input is data and is covered by the streak's fact. */
  #store(bytes: Buffer, now: number): void {
    if (!this.#keys && this.#streak?.hash != null) return;
    this.#sink.echoed(bytes, now);
    this.recorded.hash.update(bytes);
    this.recorded.bytes += bytes.length;
  }

  #begin(prompt: boolean): Streak {
    const held = prompt ? [] : this.#lead;
    this.#lead = [];
    return { held: [...held], hash: null, bytes: held.reduce((sum, { length }) => sum + length, 0), hidden: 0, lines: 0, prompt };
  }

  #add(streak: Streak, bytes: Buffer, hidden: boolean, now: number): void {
    streak.bytes += bytes.length;
    if (hidden) streak.hidden += bytes.length;
    if (streak.hash !== null) {
      streak.hash.update(bytes);
      this.#keep(bytes, now);
      return;
    }
    streak.held.push(bytes);
    if (streak.hidden > SECRET_BYTES) {
      streak.hash = createHash('sha256');
      for (const piece of streak.held) streak.hash.update(piece);
      this.#keep(Buffer.concat(streak.held), now);
      streak.held = [];
    } else if (streak.bytes > HELD_BYTES) this.#end(now);
  }

  #keep(bytes: Buffer, now: number): void {
    if (!this.#full) return;
    for (let at = 0; at < bytes.length; at += RAW_BYTES) {
      this.#sink.line(
        {
          code: 'b',
          data: { stream: 'in', replaces: false, base64: bytes.toString('base64', at, Math.min(bytes.length, at + RAW_BYTES)) },
        },
        now,
      );
    }
  }

  #end(now: number): void {
    const streak = this.#streak;
    if (streak === null) return;
    this.#streak = null;
    if (streak.hash === null) this.#forgotten += streak.hidden;
    else this.#sink.line({ code: 's', data: { fact: 'unechoed', bytes: streak.bytes, sha256: streak.hash.digest('hex') } }, now);
  }
}
