/**
 * One participant of a live session, and the output queued for them.
 *
 *     stale ──a keyframe──► following ──more than QUEUE_BYTES wait──► stale
 *       └───────────────────────┴──leaves, or must──► gone
 *
 * A participant who falls behind loses the queued output and gets the current screen once they read again: nobody waits for them. Limits:
 * at most `QUEUE_BYTES` of output and one keyframe are queued. Tested in audience.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Traits } from '#schemas/base/identity.js';
import type { SessionInvitation } from '#schemas/documents/session-invitation.js';
import type { ParticipantMode } from '#schemas/session-join.js';
import type { Size } from './screen-replay.js';

export const QUEUE_BYTES = 48 * 1024;
/** At most `SAY_MOST` messages to others within `SAY_MS` milliseconds: each message is a line on somebody's terminal. */
const SAY_MOST = 5;
const SAY_MS = 10_000;

/** The operations of the protocol by which a participant is connected. */
export interface ParticipantLink {
  /** Size of the participant's own terminal. */
  readonly size: Size;
  /** The participant's client can go back in the recording. Absent: it cannot. */
  readonly goesBack?: boolean;
  /** Bytes that can be sent now. */
  readonly room: number;
  /** Sends at most `room` bytes; the buffer is not kept after this returns. */
  send(bytes: Buffer): void;
  /** Prints the reason on the terminal and ends the connection. `ok`: it is not a failure. */
  close(lines: readonly string[], ok: boolean): void;
  /** Asks for the second factor at the address passed to `shown`. Rejects with the reason for a failed proof. Absent: cannot be asked. */
  prove?(shown: (url: string) => void, signal: AbortSignal): Promise<void>;
}

export interface ParticipantFacts {
  readonly user: string;
  readonly mode: ParticipantMode;
  readonly source: string;
  /** The participant's current roles, updated when they change. */
  readonly roles: readonly string[];
  readonly traits: Traits;
  /** The invitation by which the participant joined; null or absent: by their roles. */
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
  /** The participant has been shown the help line. */
  greeted = false;
  gone = false;
  /** The latest notice that arrived while the participant waited for a screen. */
  #waiting: { readonly words: string; readonly plain: boolean; readonly whole: boolean } | null = null;
  /** Times of the participant's recent messages, monotonic ms. */
  #said: number[] = [];

  /** `wantsFrame`: requests that `frame` be called soon. */
  constructor(facts: ParticipantFacts, since: number, link: ParticipantLink, wantsFrame: (participant: Participant) => void) {
    this.facts = facts;
    this.since = since;
    this.#link = link;
    this.#wantsFrame = wantsFrame;
  }

  get goesBack(): boolean {
    return this.#link.goesBack === true;
  }

  /** Whether the participant takes output and is not waiting for a keyframe. */
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

  /** Whether the participant may send a message now. If so, the message is counted. */
  maySay(now: number): boolean {
    this.#said = this.#said.filter((at) => at > now - SAY_MS);
    if (this.#said.length >= SAY_MOST) return false;
    this.#said.push(now);
    return true;
  }

  /** Drops the queued output; the screen replaces it. */
  redraw(): void {
    this.#stale = true;
    this.#queue = [];
    this.#queued = 0;
    this.flush();
  }

  /** Sends the current screen; output continues after it. */
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

  /** Rejects if the participant's presence was not proven. */
  async prove(shown: (url: string) => void, signal: AbortSignal): Promise<void> {
    if (this.#link.prove === undefined) throw new StenoError('SESSION_UNCONFIRMED', 'it cannot be asked here');
    return this.#link.prove(shown, signal);
  }

  /**
   * Shows a notice to this participant alone: over the last row of their terminal until the next redraw, or as a line if no screen is
   * shown. `whole`: uses as many rows as needed, wrapped by the terminal, so that an address can be copied in one piece.
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

  /** Sends as much of the queue as the link has room for. */
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

  /** Sends these lines as the last output. */
  end(lines: readonly string[], ok: boolean): void {
    if (this.gone) return;
    this.gone = true;
    this.#queue = [];
    this.#link.close(lines, ok);
  }
}
