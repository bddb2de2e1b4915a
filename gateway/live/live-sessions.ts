/**
 * The live sessions of this gateway that somebody has joined, or that wait for somebody, and what is told of them. An audience exists
 * as long.
 */
import { MAX_DETAIL_LABELS, MAX_NAMED_PARTICIPANTS } from '#schemas/api/inventory/live-sessions.js';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import type { Moderation } from '#schemas/policy/node.js';
import type { AuditEntry } from '../recorder/recorder.js';
import type { LiveSession, SessionAbout } from '../sessions/live-session.js';
import { Audience } from './audience.js';

export interface LiveSessionsDeps {
  readonly audit: (entry: AuditEntry) => void;
  /** Who is in a session, or whom it waits for, has changed. */
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

  /** `start` is called once the participants that the demands name have joined; at once where there are none. */
  begin(session: LiveSession, demands: readonly Moderation[], start: () => void): void {
    if (demands.length === 0 || session.about === null) return start();
    this.#make(session, session.about).demand(demands, start);
  }

  audience(session: LiveSession, about: SessionAbout): Audience {
    return this.#audiences.get(session) ?? this.#make(session, about);
  }

  /** What the authority is told of a session, bounded. */
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
