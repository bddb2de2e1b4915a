/**
 * Whether a live session's input reaches its target.
 *
 *     open ──close(hold)──► closed ──last hold reopened──► open
 *                             └─ input of a terminal is discarded; any other stream waits for `reopen`
 *
 * Several causes can hold the gate closed at the same time: a freeze (a lock), a missing moderator whom a lock demands, a pause (by a
 * participant), missing participants whom a role demands, and, for the session's user alone, a peer who was handed the keyboard. The gate
 * opens when no cause holds it. Both transitions are recorded as facts. The first input that is discarded while the gate is closed is
 * recorded as a gap, without the bytes or their number, because the input may be a password. Output continues. The terminal tells the user
 * that input is discarded: when the gate closes, and again while the user types, at most every `NOTICE_MS`. Tested in input-gate.test.ts,
 * and with stock ssh in ../ssh/server/freeze.test.ts.
 */
import type { SessionRecorder } from '../recorder/recorder.js';

const NOTICE_MS = 5_000;

export type HoldCause = 'freeze' | 'moderation' | 'pause' | 'absence' | 'keyboard';

export interface GateHooks {
  /** Shows a line on the session's terminal, if it has one. */
  notice(words: string): void;
  /** Like `notice`, but on standard error if there is no terminal. */
  announce?(words: string): void;
  /** Delivers the input that waited. */
  reopened(): void;
  /** Monotonic milliseconds. */
  now(): number;
}

interface Hold {
  readonly reason: string;
  /** The text shown to the user while the hold lasts. */
  readonly words: string;
}

export class InputGate {
  readonly #recorder: Pick<SessionRecorder, 'fact' | 'gap'>;
  readonly #hooks: GateHooks;
  readonly #holds = new Map<HoldCause, Hold>();
  #discarded = false;
  #noticedAt = -Infinity;

  constructor(recorder: Pick<SessionRecorder, 'fact' | 'gap'>, hooks: GateHooks) {
    this.#recorder = recorder;
    this.#hooks = hooks;
  }

  get open(): boolean {
    return this.#holds.size === 0;
  }

  /** Whether the input of peers reaches the target; ../live/ decides who has the keyboard. */
  get openToPeers(): boolean {
    return this.open || (this.#holds.size === 1 && this.#holds.has('keyboard'));
  }

  holds(cause: HoldCause): boolean {
    return this.#holds.has(cause);
  }

  /**
   * Closes the gate for this cause. False if this cause already held it: the first reason stands. `reason`: printable. `by`: a participant.
   */
  close(reason: string, cause: HoldCause = 'freeze', by?: string): boolean {
    if (this.#holds.has(cause)) return false;
    if (this.open) this.#discarded = false;
    this.#holds.set(cause, { reason, words: wordsOf(cause, reason, by) });
    this.#recorder.fact({ fact: 'input_gate', state: 'closed', reason, ...(by === undefined ? {} : { by }) });
    this.#notice();
    return true;
  }

  /** Opens the gate again, unless another cause holds it. False if this cause did not hold it. */
  reopen(cause: HoldCause = 'freeze', by?: string): boolean {
    if (!this.#holds.delete(cause)) return false;
    if (!this.open) {
      this.#notice();
      return true;
    }
    this.#recorder.fact({ fact: 'input_gate', state: 'open', reason: '', ...(by === undefined ? {} : { by }) });
    this.#say(cause, reopenedWords(cause, by));
    this.#hooks.reopened();
    return true;
  }

  /** Records that input of a terminal was discarded. */
  discard(): void {
    if (!this.#discarded) this.#recorder.gap({ reason: 'input_discarded', stream: 'in' });
    this.#discarded = true;
    if (this.#hooks.now() >= this.#noticedAt + NOTICE_MS) this.#notice();
  }

  /** For missing participants or a missing moderator, also tells a user without a terminal why the command waits. */
  #say(cause: HoldCause, words: string): void {
    if ((cause === 'absence' || cause === 'moderation') && this.#hooks.announce !== undefined) this.#hooks.announce(words);
    else this.#hooks.notice(words);
  }

  /** If there are several causes, shows the latest. */
  #notice(): void {
    const last = [...this.#holds.values()].at(-1);
    if (last === undefined) return;
    this.#noticedAt = this.#hooks.now();
    this.#say([...this.#holds.keys()].at(-1)!, last.words);
  }
}

function wordsOf(cause: HoldCause, reason: string, by?: string): string {
  const why = reason === '' ? '' : `: ${reason}`;
  switch (cause) {
    case 'freeze':
      return `this session is frozen, and what you type is discarded${why}`;
    case 'moderation':
      return `this session needs a moderator to go on, and what you type is discarded${why}`;
    case 'pause':
      return `${by ?? 'a moderator'} paused this session, and what you type is discarded${why}`;
    case 'keyboard':
      return `${by ?? 'a peer'} has the keyboard, and what you type is discarded; Ctrl-] takes it back`;
    case 'absence':
      return `this session waits for others, and what you type is discarded${why}`;
  }
}

function reopenedWords(cause: HoldCause, by?: string): string {
  switch (cause) {
    case 'freeze':
      return 'this session is no longer frozen';
    case 'moderation':
      return by === undefined ? 'this session needs no moderator any longer' : `${by} moderates this session; it goes on`;
    case 'pause':
      return `${by ?? 'a moderator'} resumed this session`;
    case 'keyboard':
      return 'you have the keyboard again';
    case 'absence':
      return 'those whom this session needs are here; it goes on';
  }
}
