/**
 * Whether a live session's input reaches its target.
 *
 *     open ──close(reason)──► closed ──reopen──► open
 *                               └─ input of a terminal is discarded; any other stream waits for `reopen`
 *
 * Both transitions are facts of the recording. The first input that is discarded while the gate is closed is a gap in it,
 * without bytes and without their number: what is typed may be a password. Output goes on. The user reads on the terminal that
 * input is discarded: when the gate closes, and again while typing, at most every `NOTICE_MS`.
 * Tested in input-gate.test.ts, and with stock ssh in ../ssh/server/freeze.test.ts.
 */
import type { SessionRecorder } from '../recorder/recorder.js';

const NOTICE_MS = 5_000;

export interface GateHooks {
  /** Shows a line on the session's terminal, if it has one. */
  notice(words: string): void;
  /** Delivers what waited. */
  reopened(): void;
  /** Monotonic milliseconds. */
  now(): number;
}

export class InputGate {
  readonly #recorder: Pick<SessionRecorder, 'fact' | 'gap'>;
  readonly #hooks: GateHooks;
  #reason: string | null = null;
  #discarded = false;
  #noticedAt = -Infinity;

  constructor(recorder: Pick<SessionRecorder, 'fact' | 'gap'>, hooks: GateHooks) {
    this.#recorder = recorder;
    this.#hooks = hooks;
  }

  get open(): boolean {
    return this.#reason === null;
  }

  /** Closes the gate. False if it was closed already: the first reason stands. `reason`: printable text. */
  close(reason: string): boolean {
    if (this.#reason !== null) return false;
    this.#reason = reason;
    this.#discarded = false;
    this.#recorder.fact({ fact: 'input_gate', state: 'closed', reason });
    this.#notice();
    return true;
  }

  /** Opens the gate again. False if it was open. */
  reopen(): boolean {
    if (this.#reason === null) return false;
    this.#reason = null;
    this.#recorder.fact({ fact: 'input_gate', state: 'open', reason: '' });
    this.#hooks.notice('this session is no longer frozen');
    this.#hooks.reopened();
    return true;
  }

  /** Notes that input of a terminal was not delivered, and never will be. */
  discard(): void {
    if (!this.#discarded) this.#recorder.gap({ reason: 'input_discarded', stream: 'in' });
    this.#discarded = true;
    if (this.#hooks.now() >= this.#noticedAt + NOTICE_MS) this.#notice();
  }

  #notice(): void {
    this.#noticedAt = this.#hooks.now();
    const why = this.#reason === null || this.#reason === '' ? '' : `: ${this.#reason}`;
    this.#hooks.notice(`this session is frozen, and what you type is discarded${why}`);
  }
}
