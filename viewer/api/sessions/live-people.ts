/**
 * The participants of live sessions, as gateways report them to the authority; requested for the sessions on a page, all of which the
 * user may list. A list omits them if the authority does not answer in time. Tested in viewer/api/main.test.ts.
 */
import { invitedModes } from '#schemas/documents/session-invitation.js';
import type { InvitedMode } from '#schemas/documents/session-invitation.js';
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

  /** By session. `rows`: at most a page of the list. `mayInvite`: whether the user may invite into such a session in this mode. */
  async of<Row extends Pick<SessionRow, 'session' | 'state'>>(
    rows: readonly Row[],
    mayInvite: (row: Row, mode: InvitedMode) => boolean,
  ): Promise<ReadonlyMap<string, { readonly live: Shown }>> {
    const live = new Map(rows.filter(({ state }) => state === 'live').map((row) => [row.session, row]));
    if (live.size === 0) return new Map();
    try {
      const known = await this.#authority.liveSessions([...live.keys()]);
      return new Map(
        known.map(({ session, participants, others, awaits }) => {
          const row = live.get(session);
          const invite = row === undefined ? [] : invitedModes.filter((mode) => mayInvite(row, mode));
          return [session, { live: { participants, others, awaits, invite } }];
        }),
      );
    } catch (error) {
      this.#log.warn({ err: error }, 'failed to ask the authority who is in live sessions');
      return new Map();
    }
  }
}
