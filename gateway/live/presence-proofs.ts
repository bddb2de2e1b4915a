/**
 * Tracks which participants of a moderated session have proven their presence, where a role demands a proof at intervals
 * (`moderation.presence`).
 *
 *     there ──ASK_MS before the interval is over──► asked ──second factor──► there
 *                                                     └──interval over──► missing ──second factor──► there
 *
 * Joining begins the first interval. A participant who is asked is shown an address at which to prove their second factor, as for a
 * session; `v` asks again. A missing participant still sees the session, but counts as gone for the demands and as moderator. Each
 * participant has one question open at a time, with its own time limit at the authority. Tested in presence-proofs.test.ts, and with
 * stock clients in ../ssh/server/moderated.test.ts.
 */
import { asStenoError, printable } from '../sessions/refusal.js';
import type { Participant } from './participant.js';

/** An address is valid for a minute. */
const ASK_MS = 60_000;

export interface PresenceDeps {
  /** Monotonic ms. */
  readonly now: () => number;
  /** Calls `callback` once after `ms` milliseconds; returns a function that cancels the call. */
  readonly after: (ms: number, callback: () => void) => () => void;
  /** Shows text of any length to this participant alone. */
  readonly tell: (participant: Participant, words: string) => void;
  /** A participant is now missing, or present again. */
  readonly changed: (participant: Participant, missing: boolean) => void;
}

interface Entry {
  /** When the interval began, monotonic ms. */
  since: number;
  missing: boolean;
  asking: AbortController | null;
  /** The address that the participant has to open. */
  url: string;
  cancel: () => void;
}

export class PresenceProofs {
  readonly #intervalMs: number;
  readonly #deps: PresenceDeps;
  readonly #entries = new Map<Participant, Entry>();

  constructor(intervalMs: number, deps: PresenceDeps) {
    this.#intervalMs = intervalMs;
    this.#deps = deps;
  }

  joined(participant: Participant): void {
    const entry: Entry = { since: this.#deps.now(), missing: false, asking: null, url: '', cancel: () => undefined };
    this.#entries.set(participant, entry);
    this.#wait(participant, entry);
  }

  left(participant: Participant): void {
    const entry = this.#entries.get(participant);
    entry?.cancel();
    entry?.asking?.abort();
    this.#entries.delete(participant);
  }

  missing(participant: Participant): boolean {
    return this.#entries.get(participant)?.missing === true;
  }

  /** The participant wants to prove their presence now. */
  prove(participant: Participant): void {
    const entry = this.#entries.get(participant);
    if (entry === undefined) return;
    if (entry.asking === null) this.#ask(participant, entry);
    else if (entry.url !== '') this.#show(participant, entry);
  }

  close(): void {
    for (const participant of [...this.#entries.keys()]) this.left(participant);
  }

  #wait(participant: Participant, entry: Entry): void {
    entry.cancel();
    const end = entry.since + this.#intervalMs;
    const askAt = end - Math.min(ASK_MS, this.#intervalMs / 2);
    const now = this.#deps.now();
    if (now < askAt) {
      entry.cancel = this.#deps.after(askAt - now, () => {
        this.#ask(participant, entry);
        this.#wait(participant, entry);
      });
    } else if (now < end) entry.cancel = this.#deps.after(end - now, () => this.#wait(participant, entry));
    else if (!entry.missing) {
      entry.missing = true;
      this.#deps.changed(participant, true);
      this.#deps.tell(participant, 'steno: you count as gone until you prove that you are there: press v (a peer: Ctrl-] v)');
    }
  }

  #ask(participant: Participant, entry: Entry): void {
    if (entry.asking !== null || participant.gone) return;
    const asking = new AbortController();
    entry.asking = asking;
    const shown = (url: string): void => {
      entry.url = printable(url, 512);
      this.#show(participant, entry);
    };
    participant.prove(shown, asking.signal).then(
      () => {
        this.#over(entry, asking);
        if (asking.signal.aborted) return;
        entry.since = this.#deps.now();
        this.#deps.tell(participant, 'steno: your presence is confirmed');
        if (entry.missing) {
          entry.missing = false;
          this.#deps.changed(participant, false);
        }
        this.#wait(participant, entry);
      },
      (error: unknown) => {
        this.#over(entry, asking);
        if (asking.signal.aborted) return;
        const { message } = asStenoError(error);
        this.#deps.tell(participant, `steno: your presence was not confirmed: ${printable(message, 128)}; press v to try again`);
      },
    );
  }

  #over(entry: Entry, asking: AbortController): void {
    if (entry.asking === asking) entry.asking = null;
    entry.url = '';
  }

  #show(participant: Participant, { url }: Entry): void {
    this.#deps.tell(participant, `steno: prove that you are there, within a minute: ${url}`);
  }
}
