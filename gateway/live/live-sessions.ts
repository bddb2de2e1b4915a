/**
 * The live sessions of this gateway that have participants or wait for them, and the details reported about them. An audience exists for
 * as long as its session has participants or waits for them.
 */
import { MAX_DETAIL_LABELS, MAX_NAMED_PARTICIPANTS } from '#schemas/api/inventory/live-sessions.js';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import type { Moderation } from '#schemas/policy/node.js';
import type { AuditEntry } from '../recorder/recorder.js';
import type { LiveSession, SessionAbout } from '../sessions/live-session.js';
import { Audience } from './audience.js';

export interface LiveSessionsDeps {
  readonly audit: (entry: AuditEntry) => void;
  /** The participants of a session, or the participants it waits for, have changed. */
  readonly changed: (session: string) => void;
  /** ms since 1970. */
  readonly now: () => number;
}

export class LiveSessions {
  readonly #deps: LiveSessionsDeps;
  readonly #audiences = new Map<LiveSession, Audience>();

  constructor(deps: LiveSessionsDeps) {
    this.#deps = deps;
  }

  /** Whether the session needs participants, by a role or a lock. */
  awaits(session: LiveSession | undefined): boolean {
    return session !== undefined && (session.needsModerator || this.#audiences.get(session)?.moderated === true);
  }

  /** Calls `start` once the participants that the demands name have joined; immediately if there are no demands. */
  begin(session: LiveSession, demands: readonly Moderation[], start: () => void): void {
    if (demands.length === 0 || session.about === null) return start();
    this.#make(session, session.about).demand(demands, start);
  }

  audience(session: LiveSession, about: SessionAbout): Audience {
    return this.#audiences.get(session) ?? this.#make(session, about);
  }

  /** The details of a session that are reported to the authority, bounded. */
  details(session: LiveSession, { user, node, login, kind, labels, startedAt }: SessionAbout): LiveSessionDetails {
    const audience = this.#audiences.get(session);
    const joined = [...(audience?.participants ?? [])].map(({ facts: { user: who, mode, invited }, since }) => ({
      ...{ user: who, mode, since },
      ...(invited == null ? {} : { invitation: invited.id }),
    }));
    const named = joined.slice(0, MAX_NAMED_PARTICIPANTS - 1);
    return {
      session: session.id,
      user,
      node,
      login,
      kind,
      started_at: startedAt,
      labels: labels !== null && JSON.stringify(labels).length <= MAX_DETAIL_LABELS ? labels : null,
      participants: [{ user, mode: 'owner', since: startedAt }, ...named],
      others: joined.length - named.length,
      awaits: [audience?.awaited ?? '', session.awaitsModerator ? '1 moderator' : ''].filter((text) => text !== '').join('; '),
    };
  }

  #make(session: LiveSession, about: SessionAbout): Audience {
    const made = new Audience(session, about, {
      audit: this.#deps.audit,
      now: () => performance.now(),
      clock: this.#deps.now,
      changed: () => this.#deps.changed(session.id),
      empty: () => void this.#audiences.delete(session),
    });
    this.#audiences.set(session, made);
    return made;
  }
}
