/**
 * One recorded session while it lives, whatever protocol carries it: its input gate, and the ways to end it and to speak
 * to whoever is in it. Made by `Access.begin`; tested through registry.test.ts.
 */
import type { StenoError } from '#schemas/base/errors.js';
import type { SessionRecorder } from '../recorder/recorder.js';
import { InputGate } from './input-gate.js';

/** What the protocol that carries a session does for it. */
export interface SessionHooks {
  /** Ends this session with its reason on the terminal; others of the same connection go on. */
  end(error: StenoError): void;
  /** Shows a line on the session's terminal, if it has one. */
  notice(words: string): void;
  /** The input gate is open again: what was held is delivered now. */
  reopened(): void;
}

export class LiveSession {
  readonly id: string;
  readonly gate: InputGate;
  readonly #hooks: SessionHooks;
  readonly #left: (session: LiveSession) => void;
  #over = false;

  constructor(recorder: SessionRecorder, hooks: SessionHooks, left: (session: LiveSession) => void) {
    this.id = recorder.session;
    this.#hooks = hooks;
    this.#left = left;
    this.gate = new InputGate(recorder, {
      notice: (words) => hooks.notice(words),
      reopened: () => hooks.reopened(),
      now: () => performance.now(),
    });
  }

  notice(words: string): void {
    if (!this.#over) this.#hooks.notice(words);
  }

  end(error: StenoError): void {
    if (this.#over) return;
    this.leave();
    this.#hooks.end(error);
  }

  /** The session has ended. May be repeated. */
  leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#left(this);
  }
}
