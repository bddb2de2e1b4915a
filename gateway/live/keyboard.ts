/**
 * Tracks who may type into a session in addition to, or instead of, its user. The user decides at a second terminal (`steno join ID --mode
 * owner`).
 *
 *     shared ──hand──► one peer's ──take, Ctrl-] at the session's terminal, the peer leaves──► shared
 *        └──refuse──► the user's alone ──refuse──► shared
 *
 * Peers may type because their roles say so; nothing here lets anybody else type. While a peer has the keyboard, the input gate holds the
 * user's input (../sessions/input-gate.ts). Tested in keyboard.test.ts, and with stock clients in ../ssh/server/joined.test.ts.
 */
import type { LiveSession } from '../sessions/live-session.js';
import { printable } from '../sessions/refusal.js';
import type { Participant } from './participant.js';

export interface KeyboardHooks {
  audit(participant: Participant, data: object): void;
  tell(participant: Participant, words: string): void;
}

export class Keyboard {
  readonly #session: LiveSession;
  readonly #hooks: KeyboardHooks;
  #holder: Participant | null = null;
  #refused = false;
  /** Participants who, since the last change, were told that their input is discarded. */
  #told = new Set<Participant>();

  constructor(session: LiveSession, hooks: KeyboardHooks) {
    this.#session = session;
    this.#hooks = hooks;
  }

  /** Whether this peer's input reaches the session. If not, the peer is told once. */
  lets(participant: Participant): boolean {
    if (!this.#refused && (this.#holder === null || this.#holder === participant)) return true;
    if (!this.#told.has(participant)) {
      this.#told.add(participant);
      const who = this.#holder === null ? 'the session’s user' : printable(this.#holder.facts.user, 64);
      this.#hooks.tell(participant, `steno: ${who} has the keyboard, and what you type is discarded`);
    }
    return false;
  }

  /** Hands the keyboard to the first peer, or from the peer who has it to the next. */
  hand(owner: Participant, peers: readonly Participant[]): void {
    if (peers.length === 0) return this.#hooks.tell(owner, 'steno: nobody is here who could type');
    const next = peers[(this.#holder === null ? 0 : peers.indexOf(this.#holder) + 1) % peers.length]!;
    if (next === this.#holder) return this.#hooks.tell(owner, `steno: ${printable(next.facts.user, 64)} has the keyboard already`);
    this.#changes();
    this.#refused = false;
    this.#holder = next;
    this.#session.gate.reopen('keyboard');
    this.#session.gate.close('', 'keyboard', printable(next.facts.user, 64));
    this.#hooks.audit(owner, { keyboard: 'handed', to: next.facts.user });
  }

  /** Takes the keyboard back: everybody who may type can type again. */
  take(owner: Participant): void {
    if (this.#holder === null) return this.#hooks.tell(owner, 'steno: nobody else has the keyboard');
    this.#hooks.audit(owner, { keyboard: 'taken' });
    this.takeBack();
  }

  takeBack(): void {
    if (this.#holder === null) return;
    this.#changes();
    this.#holder = null;
    this.#session.gate.reopen('keyboard');
  }

  /** Lets no peer type, or lets them again. */
  refuse(owner: Participant): void {
    this.takeBack();
    this.#changes();
    this.#refused = !this.#refused;
    this.#hooks.audit(owner, { keyboard: this.#refused ? 'refused' : 'shared' });
    this.#session.notice(this.#refused ? 'peers cannot type into this session now' : 'peers can type into this session again');
  }

  left(participant: Participant): void {
    this.#told.delete(participant);
    if (participant === this.#holder) this.takeBack();
  }

  #changes(): void {
    this.#told = new Set();
  }
}
