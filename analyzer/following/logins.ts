/** The rows of node services' logins, in rows of several sessions in any interleaving. Tested in across-run.test.ts. */
import { LRUCache } from 'lru-cache';
import { LoginRows } from '#schemas/kernel/login-rows.js';
import type { EventRow } from '#schemas/events/rows.js';

/** `LoginRows` of many sessions, for rows of several sessions in any interleaving. */
export class LoginRowsOfSessions {
  readonly #sessions: LRUCache<string, LoginRows>;

  /** `max`: sessions remembered; the first rows of one that was forgotten count as the user's. */
  constructor(max = 20_000) {
    this.#sessions = new LRUCache({ max });
  }

  /** Returns whether the row belongs to a login itself. Call it with the rows of each session in order. */
  take(row: Pick<EventRow, 'session' | 'source' | 'kind' | 'data'>): boolean {
    if (row.source !== 'kernel' || row.session === '') return false;
    let rows = this.#sessions.get(row.session);
    if (rows === undefined) this.#sessions.set(row.session, (rows = new LoginRows()));
    return rows.take(row);
  }
}
