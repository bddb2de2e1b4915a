/**
 * Who is in live sessions, as gateways tell the authority: asked for the sessions of a page that somebody may list anyway. A list
 * does without it when the authority does not answer in time. Tested in viewer/api/main.test.ts.
 */
import type { LivePeople as Shown } from '#schemas/api/recordings/sessions.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { Log } from '#runtime/log.js';
import type { ViewerAuthority } from '../access/identity.js';

export class LivePeople {
  readonly #authority: Pick<ViewerAuthority, 'liveSessions'>;
  readonly #log: Log;

  constructor(authority: Pick<ViewerAuthority, 'liveSessions'>, log: Log) {
    this.#authority = authority;
    this.#log = log;
  }

  /** By session. `rows`: at most a page of the list. */
  async of(rows: readonly Pick<SessionRow, 'session' | 'state'>[]): Promise<ReadonlyMap<string, { readonly live: Shown }>> {
    const live = rows.filter(({ state }) => state === 'live').map(({ session }) => session);
    if (live.length === 0) return new Map();
    try {
      const known = await this.#authority.liveSessions(live);
      return new Map(known.map(({ session, participants, others, awaits }) => [session, { live: { participants, others, awaits } }]));
    } catch (error) {
      this.#log.warn({ err: error }, 'failed to ask the authority who is in live sessions');
      return new Map();
    }
  }
}
