/**
 * Logs one line per ended connection, with the reason. Admitted users are logged one by one; strangers, whom anybody can
 * send by the thousand, up to `STRANGERS_A_MINUTE`, with a count of the rest. Tested in connection-log.test.ts.
 */
import type { Log } from '#runtime/log.js';
import { printable } from '../sessions/refusal.js';

export interface EndedConnection {
  /** The step that the connection had reached. */
  readonly step: string;
  readonly source: string;
  /** The client's identification; empty while unknown. */
  readonly client: string;
  /** Null before anybody was admitted. */
  readonly user: string | null;
  readonly login?: string;
  readonly node?: string;
  readonly seconds: number;
  /** A code of docs/errors.md, or plain text; may quote bytes that a stranger sent. */
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

  /** Logs how many connections were left out, and starts a new minute. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#more > 0) this.#log.info({ connections: this.#more }, 'more connections ended before admission');
    this.#logged = this.#more = 0;
  }
}
