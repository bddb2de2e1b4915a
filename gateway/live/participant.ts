/**
 * One participant of a live session, and what waits to be sent to them.
 *
 *     stale ──a keyframe──► following ──more than QUEUE_BYTES wait──► stale
 *       └───────────────────────┴──leaves, or must──► gone
 *
 * Whoever falls behind loses what waits and gets the screen as it is, once they read again: nobody waits for them. Limits:
 * `QUEUE_BYTES` of output and one keyframe wait at most. Tested in audience.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import type { SessionInvitation } from '#schemas/documents/session-invitation.js';
import type { ParticipantMode } from '#schemas/session-join.js';
import type { Size } from './screen-replay.js';

export const QUEUE_BYTES = 48 * 1024;
/** Messages to others within so many milliseconds: they are lines on somebody's terminal. */
const SAY_MOST = 5;
const SAY_MS = 10_000;

/** What the protocol does that a participant comes by. */
export interface ParticipantLink {
  /** Of the participant's own terminal. */
  readonly size: Size;
  /** The participant's client can go back in the recording. Left out: it cannot. */
  readonly goesBack?: boolean;
  /** Bytes that can be sent now. */
  readonly room: number;
  /** At most `room` bytes, kept by nobody after this returns. */
  send(bytes: Buffer): void;
  /** Says why on the terminal, and ends the connection. `ok`: it is no failure. */
  close(lines: readonly string[], ok: boolean): void;
  /** Asks for the second factor at the address that `shown` gets. Rejects with why it was not proven. Left out: it cannot be asked. */
  prove?(shown: (url: string) => void, signal: AbortSignal): Promise<void>;
}

export interface ParticipantFacts {
  readonly user: string;
  readonly mode: ParticipantMode;
  readonly source: string;
  /** As roles say now; changed when they change. */
  readonly roles: readonly string[];
  readonly traits: Traits;
  /** By which they came; null, or left out: by their roles. */
  readonly invited?: SessionInvitation | null;
}

export class Participant {
  facts: ParticipantFacts;
  /** ms since 1970. */
  readonly since: number;
  readonly #link: ParticipantLink;
  readonly #wantsFrame: (participant: Participant) => void;
  #queue: Buffer[] = [];
  #queued = 0;
  #stale = true;
  #asked = false;
  /** Was told what can be done. */
  greeted = false;
  gone = false;
  /** What was to be told while the screen was awaited: the last of it. */
  #waiting: { readonly words: string; readonly plain: boolean; readonly whole: boolean } | null = null;
  /** When they said what, monotonic ms. */
  #said: number[] = [];

  /** `wantsFrame`: `frame` is to be called soon. */
  constructor(facts: ParticipantFacts, since: number, link: ParticipantLink, wantsFrame: (participant: Participant) => void) {
    this.facts = facts;
    this.since = since;
    this.#link = link;
    this.#wantsFrame = wantsFrame;
  }

  get goesBack(): boolean {
    return this.#link.goesBack === true;
  }

  /** Whether it takes output, and does not wait for a keyframe. */
  get following(): boolean {
    return !this.#stale && !this.gone;
  }

  /** Output of the session, shared by all participants. */
  offer(bytes: Buffer): void {
    if (!this.following) return;
    if (this.#queued + bytes.length > QUEUE_BYTES) {
      this.flush();
      if (this.#queued + bytes.length > QUEUE_BYTES) return this.redraw();
    }
    this.#queue.push(bytes);
    this.#queued += bytes.length;
  }

  /** Whether they may say something now; it counts. */
  maySay(now: number): boolean {
    this.#said = this.#said.filter((at) => at > now - SAY_MS);
    if (this.#said.length >= SAY_MOST) return false;
    this.#said.push(now);
    return true;
  }

  /** What waits is dropped; the screen comes in its place. */
  redraw(): void {
    this.#stale = true;
    this.#queue = [];
    this.#queued = 0;
    this.flush();
  }

  /** The screen as it is now; output goes on behind it. */
  frame(bytes: Buffer): void {
    this.#asked = false;
    if (!this.#stale || this.gone) return;
    this.#stale = false;
    this.#queue = [bytes];
    this.#queued = bytes.length;
    this.flush();
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting !== null) this.tell(waiting.words, waiting.plain, waiting.whole);
  }

  /** Rejects where it was not proven that they are there. */
  async prove(shown: (url: string) => void, signal: AbortSignal): Promise<void> {
    if (this.#link.prove === undefined) throw new StenoError('SESSION_UNCONFIRMED', 'it cannot be asked here');
    return this.#link.prove(shown, signal);
  }

  /**
   * For this participant alone: drawn over the last row of their terminal, and gone with the next redraw; a line where no screen is shown.
   * `whole`: over as many rows as it needs, wrapped by the terminal, so that an address is copied in one piece.
   */
  tell(words: string, plain = false, whole = false): void {
    if (!this.following) {
      this.#waiting = { words, plain, whole };
      return;
    }
    if (plain) {
      this.offer(Buffer.from(`${words}\r\n`));
      return this.flush();
    }
    const { cols, rows } = this.#link.size;
    const height = whole ? Math.min(rows, Math.ceil((words.length + 2) / Math.max(1, cols))) : 1;
    const shown = whole ? words.slice(0, Math.max(0, cols * height - 2)) : words.slice(0, Math.max(0, cols - 3));
    const line = Buffer.from(`\x1b7\x1b[${rows - height + 1};1H\x1b[?7h\x1b[0;7m ${shown} \x1b[0m\x1b[K\x1b8`);
    this.#queue.push(line);
    this.#queued += line.length;
    this.flush();
  }

  /** Sends what can be sent. */
  flush(): void {
    while (this.#queue.length > 0 && !this.gone) {
      const room = this.#link.room;
      if (room <= 0) return;
      const first = this.#queue[0]!;
      const piece = first.subarray(0, room);
      if (piece.length === first.length) this.#queue.shift();
      else this.#queue[0] = first.subarray(piece.length);
      this.#queued -= piece.length;
      this.#link.send(piece);
    }
    if (this.#stale && !this.#asked && !this.gone && this.#link.room > 0) {
      this.#asked = true;
      this.#wantsFrame(this);
    }
  }

  /** Nothing more is sent but this. */
  end(lines: readonly string[], ok: boolean): void {
    if (this.gone) return;
    this.gone = true;
    this.#queue = [];
    this.#link.close(lines, ok);
  }
}
