/**
 * One line in the log for each connection that has ended, with the reason. Users are logged one by one; strangers, whom
 * anybody can send by the thousand, up to `STRANGERS_A_MINUTE`, and beyond that as a number. Tested in connection-log.test.ts.
 */
import type { Log } from '#runtime/log.js';
import { printable } from '../sessions/refusal.js';

export interface EndedConnection {
  /** How far it had come: the step at which it ended. */
  readonly step: string;
  readonly source: string;
  /** What the client calls itself; empty while unknown. */
  readonly client: string;
  /** Null before anybody was admitted. */
  readonly user: string | null;
  readonly login?: string;
  readonly node?: string;
  readonly seconds: number;
  /** A code of docs/errors.md, or words; may quote what a stranger sent. */
  readonly reason: string;
}

export const STRANGERS_A_MINUTE = 60;
const MINUTE_MS = 60_000;

export class ConnectionLog {
  readonly #log: Log;
  #logged = 0;
  #more = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  ended({ reason, user, ...facts }: EndedConnection): void {
    if (user === null) {
      this.#timer ??= setTimeout(() => this.flush(), MINUTE_MS).unref();
      if (this.#logged >= STRANGERS_A_MINUTE) return void this.#more++;
      this.#logged++;
    }
    this.#log.info(
      { ...facts, ...(user === null ? {} : { user }), reason: printable(reason, 256) },
      user === null ? 'a connection ended before admission' : 'a connection ended',
    );
  }

  /** Says how many were not logged; a new minute begins. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#more > 0) this.#log.info({ connections: this.#more }, 'more connections ended before admission');
    this.#logged = this.#more = 0;
  }
}
