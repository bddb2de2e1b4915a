/**
 * One recorded session while it lives, whatever protocol carries it: its input gate, the ways to end it and to speak to whoever
 * is in it, whether a lock demands a moderator, and what it shows to whoever has joined it (../live/). Made by `Access.begin`; tested through registry.test.ts.
 */
import type { SessionKind } from '#schemas/recording/line.js';
import type { StenoError } from '#schemas/base/errors.js';
import type { SessionRecorder } from '../recorder/recorder.js';
import { InputGate } from './input-gate.js';

/** What the protocol that carries a session does for it. */
export interface SessionHooks {
  /** Ends this session with its reason on the terminal; others of the same connection go on. */
  end(error: StenoError): void;
  /** Shows a line on the session's terminal, if it has one. */
  notice(words: string): void;
  /** As `notice`, and on standard error where there is no terminal. Left out: the same as `notice`. */
  announce?(words: string): void;
  /** The input gate is open again: what was held is delivered now. */
  reopened(): void;
  /**
   * Sends what a participant typed to the terminal as if the session's user had. Answers how many of the bytes it took; when it
   * took fewer than all, the watcher hears `roomy` once it takes more. Left out: nobody else can type.
   */
  type?(bytes: Buffer): number;
}

/** What those who may join a session, or not, are told and asked about it. */
export interface SessionAbout {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly kind: SessionKind;
  /** Of the node when the session began; null: not known. */
  readonly labels: Readonly<Record<string, string>> | null;
  /** ms since 1970. */
  readonly startedAt: number;
  /** The terminal as it is now; null: the session has none. */
  size(): { readonly cols: number; readonly rows: number } | null;
  /** What it runs, where that is a command. */
  readonly command: string;
}

/** Told what a session shows: nothing of it may slow the session. */
export interface SessionWatcher {
  /** After it was recorded. `bytes` are good until this returns. */
  output(bytes: Buffer): void;
  resized(cols: number, rows: number): void;
  /** `type` takes bytes again. */
  roomy(): void;
  /** The session's user wants the keyboard back that was handed over. */
  takeBack(): void;
  /** The session is over; null: by itself. */
  left(reason: StenoError | null): void;
}

export class LiveSession {
  readonly id: string;
  readonly gate: InputGate;
  readonly recorder: SessionRecorder;
  /** Null: nobody can join it. */
  readonly about: SessionAbout | null;
  watcher: SessionWatcher | null = null;
  /** By which somebody came in; each counts once. */
  readonly invitations = new Set<string>();
  readonly #hooks: SessionHooks;
  readonly #left: (session: LiveSession) => void;
  /** Why a lock demands a moderator; null: none does. */
  #demand: string | null = null;
  /** Who moderates, as the watcher says; null: nobody. */
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

  /** A lock demands a moderator, whether one is here or not. */
  get needsModerator(): boolean {
    return this.#demand !== null;
  }

  /** Input waits for a moderator. */
  get awaitsModerator(): boolean {
    return this.gate.holds('moderation');
  }

  /**
   * A lock demands that somebody moderates: input is held while nobody does. Null: no lock does any longer. False if that was so
   * already: the first reason stands. `reason`: printable text.
   */
  requireModerator(reason: string | null): boolean {
    if (this.#over || (reason === null) === (this.#demand === null)) return false;
    this.#demand = reason;
    this.#weigh();
    return true;
  }

  /** Who of the participants moderates, in printable words; null: nobody. */
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

  /** What the session's terminal is about to show, recorded already. */
  shown(bytes: Buffer): void {
    if (!this.#over) this.watcher?.output(bytes);
  }

  /** Input of the participant `user`; discarded while the gate is closed. Answers how many bytes were taken. */
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

  /** The session has ended. May be repeated. */
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
