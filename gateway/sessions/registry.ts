/**
 * The live sessions of this gateway, whatever protocol carries them, and the control path to them: the authority's snapshots carry locks,
 * freezes, roles and grants, and each snapshot is applied here.
 *
 * A snapshot is applied to the accesses that its change can affect (change-scope.ts), in this order: 1. every connection and session that
 * must end or freeze does so, and its user is notified; 2. one audit row per effect is written; 3. one summary row per lock is written.
 * After a crash between 1 and 3, the end or freeze is still in the recordings. Tested in registry.test.ts.
 */
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { LockEffect } from '#schemas/lock-effect.js';
import type { AuditEntry } from '../recorder/recorder.js';
import { Access } from './access.js';
import { everybody } from './change-scope.js';
import type { AccessFacts, AccessSource, Enforced, SessionLocks } from './access.js';
import type { LiveSession } from './live-session.js';
import { printable } from './refusal.js';

export interface RegistryDeps {
  /** The gateway's name, for the audit. */
  readonly name: string;
  /** ms since 1970. */
  readonly now: () => number;
  readonly audit: (entry: AuditEntry) => void;
  /** Called when a session begins and when it ends. */
  readonly onSession: (session: LiveSession, live: boolean) => void;
  /** Called when the participants that a session waits for have changed. */
  readonly onChanged?: (session: LiveSession) => void;
}

export class SessionRegistry {
  readonly #deps: RegistryDeps;
  readonly #accesses = new Set<Access>();
  /** Number of live sessions, and the callbacks that wait until there are none. */
  #live = 0;
  readonly #whenIdle = new Set<() => void>();
  /** Ids of the notices in the previous snapshot: each notice is shown once. */
  #shown: ReadonlySet<string> = new Set();

  constructor(deps: RegistryDeps) {
    this.#deps = {
      ...deps,
      onSession: (session, live) => {
        deps.onSession(session, live);
        this.#live += live ? 1 : -1;
        if (this.#live === 0) for (const resolve of this.#whenIdle) resolve();
      },
    };
  }

  /** Resolves when no session is live. */
  idle(): Promise<void> {
    if (this.#live === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.add(resolve));
  }

  /** Shows a line on the terminal of every session. */
  notice(words: string): void {
    for (const access of this.#accesses) access.notice(words);
  }

  /** Makes an admitted user's access; snapshots apply to it once it is `register`ed. */
  admit(facts: AccessFacts, source: AccessSource): Access {
    return new Access(facts, source, this.#deps);
  }

  /** Applies snapshots to the access from now on, until it leaves. `decision`: null for a connection without sessions of its own. */
  register(access: Access, decision: Parameters<Access['establish']>[0]): void {
    this.#accesses.add(access);
    access.establish(decision, () => void this.#accesses.delete(access));
  }

  find(id: string): LiveSession | undefined {
    for (const { sessions } of this.#accesses) for (const session of sessions) if (session.id === id) return session;
    return undefined;
  }

  /** Applies a new snapshot to the accesses that it can affect. Returns how much each lock has ended, by the lock's id. */
  recheck(snapshot: Snapshot, scope = everybody): ReadonlyMap<string, Pick<LockEffect, 'connections' | 'sessions'>> {
    const concerned = scope.any ? [...this.#accesses].filter((access) => access.isConcerned(scope)) : [];
    const locks = concerned.length === 0 ? noLocks : sessionLocks(snapshot, this.#deps.now());
    const enforced = concerned.flatMap((access) => access.recheck(snapshot, locks));
    const counts = new Map<Lock, Pick<Enforced, 'connections' | 'sessions' | 'frozen'>>();
    for (const { lock, connections, sessions, frozen, audit } of enforced) {
      audit();
      if (lock === null) continue;
      const count = counts.get(lock) ?? { connections: 0, sessions: 0, frozen: 0 };
      counts.set(lock, {
        connections: count.connections + connections,
        sessions: count.sessions + sessions,
        frozen: count.frozen + frozen,
      });
    }
    for (const [lock, { frozen, ...ended }] of counts) {
      this.#deps.audit({
        event: 'lock.enforced',
        outcome: 'success',
        actor: `gateway/${this.#deps.name}`,
        target: lock.id,
        reason: printable(lock.reason, 1024),
        data: JSON.stringify({ target_kind: lock.target_kind, target: lock.target, ...ended, ...(frozen === 0 ? {} : { frozen }) }),
      });
    }
    this.#showNotices(snapshot);
    return new Map([...counts].map(([{ id }, { connections, sessions }]) => [id, { connections, sessions }]));
  }

  /** Runs after locks and freezes. An older authority publishes no notices. */
  #showNotices({ notices = [] }: Partial<Snapshot>): void {
    const fresh = notices.filter(({ id }) => !this.#shown.has(id));
    this.#shown = new Set(notices.map(({ id }) => id));
    for (const notice of fresh) for (const access of this.#accesses) access.show(notice);
  }
}

const noLocks: SessionLocks = { ended: new Map(), frozen: new Map(), moderated: new Map() };

const onSessions = [
  ['session', 'ended'],
  ['session-input', 'frozen'],
  ['session-moderation', 'moderated'],
] as const;

function sessionLocks({ locks }: Snapshot, now: number): SessionLocks {
  const found = { ended: new Map<string, Lock>(), frozen: new Map<string, Lock>(), moderated: new Map<string, Lock>() };
  for (const lock of locks) {
    if (lock.expires_at !== null && lock.expires_at <= now) continue;
    const on = onSessions.find(([kind]) => kind === lock.target_kind);
    const known = on === undefined ? undefined : found[on[1]];
    if (known !== undefined && !known.has(lock.target)) known.set(lock.target, lock);
  }
  return found;
}
