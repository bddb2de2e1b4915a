/**
 * One live recorded session, whatever protocol carries it: its input gate, ending it, sending notices to the people in it, whether a lock
 * demands a moderator, and the output it shows to participants (../live/). Made by `Access.begin`; tested through registry.test.ts.
 */
import type { SessionKind } from '#schemas/recording/line.js';
import type { StenoError } from '#schemas/base/errors.js';
import type { SessionRecorder } from '../recorder/recorder.js';
import { InputGate } from './input-gate.js';

/** The operations that the protocol provides for a session. */
export interface SessionHooks {
  /** Ends this session and shows the reason on the terminal; other sessions of the connection continue. */
  end(error: StenoError): void;
  /** Shows a line on the session's terminal, if it has one. */
  notice(words: string): void;
  /** Like `notice`, but on standard error if there is no terminal. Absent: the same as `notice`. */
  announce?(words: string): void;
  /** The input gate is open again: delivers the input that was held. */
  reopened(): void;
  /**
   * Sends a participant's input to the terminal as if the session's user had typed it. Returns how many bytes were taken; if fewer than
   * all, the watcher's `roomy` is called once more can be taken. Absent: only the session's user can type.
   */
  type?(bytes: Buffer): number;
}

/** Facts about a session that decide who may join it and that participants are shown. */
export interface SessionAbout {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly kind: SessionKind;
  /** Labels of the node when the session began; null: not known. */
  readonly labels: Readonly<Record<string, string>> | null;
  /** ms since 1970. */
  readonly startedAt: number;
  /** The current size of the terminal; null: the session has none. */
  size(): { readonly cols: number; readonly rows: number } | null;
  /** The command that the session runs, if any. */
  readonly command: string;
}

/** Receives the output of a session; must not slow the session. */
export interface SessionWatcher {
  /** Output that has been recorded. `bytes` are valid until this returns. */
  output(bytes: Buffer): void;
  resized(cols: number, rows: number): void;
  /** `type` takes bytes again. */
  roomy(): void;
  /** The session's user wants to take the keyboard back. */
  takeBack(): void;
  /** The session is over; `reason` null: it ended by itself. */
  left(reason: StenoError | null): void;
}

export class LiveSession {
  readonly id: string;
  readonly gate: InputGate;
  readonly recorder: SessionRecorder;
  /** Null: nobody can join it. */
  readonly about: SessionAbout | null;
  watcher: SessionWatcher | null = null;
  /** Invitations that have been used; each is valid once. */
  readonly invitations = new Set<string>();
  readonly #hooks: SessionHooks;
  readonly #left: (session: LiveSession) => void;
  /** Why a lock demands a moderator; null: none does. */
  #demand: string | null = null;
  /** The moderator, as reported by the watcher; null: nobody. */
  #moderator: string | null = null;
  #over = false;

  constructor(recorder: SessionRecorder, hooks: SessionHooks, about: SessionAbout | null, left: (session: LiveSession) => void) {
    this.id = recorder.session;
    this.recorder = recorder;
    this.about = about;
    this.#hooks = hooks;
    this.#left = left;
    this.gate = new InputGate(recorder, {
      notice: (words) => hooks.notice(words),
      announce: (words) => this.announce(words),
      reopened: () => hooks.reopened(),
      now: () => performance.now(),
    });
  }

  get over(): boolean {
    return this.#over;
  }

  /** Whether a lock demands a moderator, present or not. */
  get needsModerator(): boolean {
    return this.#demand !== null;
  }

  /** Input waits for a moderator. */
  get awaitsModerator(): boolean {
    return this.gate.holds('moderation');
  }

  /**
   * Sets whether a lock demands a moderator: input is held while nobody moderates. `reason`: printable text; null: no lock demands one any
   * longer. Returns false if nothing changed: the first reason stands.
   */
  requireModerator(reason: string | null): boolean {
    if (this.#over || (reason === null) === (this.#demand === null)) return false;
    this.#demand = reason;
    this.#weigh();
    return true;
  }

  /** Sets the participant who moderates, as printable text; null: nobody. */
  moderatedBy(moderator: string | null): void {
    this.#moderator = moderator;
    if (!this.#over) this.#weigh();
  }

  notice(words: string): void {
    if (!this.#over) this.#hooks.notice(words);
  }

  announce(words: string): void {
    if (this.#over) return;
    if (this.#hooks.announce === undefined) this.#hooks.notice(words);
    else this.#hooks.announce(words);
  }

  /** Output that the session's terminal is about to show; it has already been recorded. */
  shown(bytes: Buffer): void {
    if (!this.#over) this.watcher?.output(bytes);
  }

  /** Input of the participant `user`; discarded while the gate is closed. Returns how many bytes were taken. */
  type(user: string, bytes: Buffer): number {
    if (this.#over || this.#hooks.type === undefined) return bytes.length;
    if (!this.gate.openToPeers) {
      this.gate.discard();
      return bytes.length;
    }
    this.recorder.typist(user);
    const taken = this.#hooks.type(bytes);
    this.recorder.typist(this.about?.user ?? '');
    return taken;
  }

  end(error: StenoError): void {
    if (this.#over) return;
    this.leave(error);
    this.#hooks.end(error);
  }

  /** The session has ended. May be called again. */
  leave(reason: StenoError | null = null): void {
    if (this.#over) return;
    this.#over = true;
    this.#left(this);
    this.watcher?.left(reason);
    this.watcher = null;
  }

  #weigh(): void {
    if (this.#demand === null) this.gate.reopen('moderation');
    else if (this.#moderator !== null) this.gate.reopen('moderation', this.#moderator);
    else if (this.gate.close(this.#demand, 'moderation') && this.about !== null)
      this.announce(`to join: steno join ${this.id} --mode moderator`);
  }
}
