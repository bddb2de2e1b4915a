/**
 * An admitted user's access at the gateway: one connection, whatever the protocol, and the sessions in it.
 *
 *     admitted ──(slot)──► bound for a target ──establish──► established ──leave──► gone
 *        └──nowhere to go by itself (ssh -J): registered at once, with no sessions──────┘
 *
 * An established access is re-evaluated with every snapshot that can affect it: it ends when roles, locks or grants no longer allow it, its
 * sessions end, freeze or wait for a moderator when a lock names them, and changed limits and permissions apply to it. Independent of the
 * protocol, which supplies an `AccessSource`. Tested in registry.test.ts, and with stock clients in ../ssh/server/.
 */
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import type { SessionLimits } from '#schemas/policy/node.js';
import type { SessionNotice } from '#schemas/session-notice.js';
import type { AuditEntry, SessionRecorder } from '../recorder/recorder.js';
import { assertSessionUnlocked } from './authorization.js';
import type { ChangeScope } from './change-scope.js';
import { LimitTimer, realTimers } from './limits.js';
import { LiveSession } from './live-session.js';
import type { SessionAbout, SessionHooks } from './live-session.js';
import { asStenoError, printable } from './refusal.js';
import type { Slot } from './slots.js';
import { auditPlace } from './target.js';
import type { SessionTarget } from './target.js';

export interface AccessFacts {
  readonly identity: UserIdentity;
  /** Null: a connection that only carries further connections. */
  readonly target: SessionTarget | null;
  readonly source: string;
}

/** The operations that a protocol provides for an access. */
export interface AccessSource {
  /**
   * Decides again by this snapshot, applies the current permissions, and returns the new limits; null for a connection that only carries
   * further connections. Throws the refusal.
   */
  reauthorize(snapshot: Snapshot, now: number): SessionLimits | null;
  /** Ends the connection with its reason. */
  end(error: StenoError): void;
}

export interface AccessDeps {
  /** ms since 1970. */
  readonly now: () => number;
  readonly audit: (entry: AuditEntry) => void;
  readonly onSession: (session: LiveSession, live: boolean) => void;
  readonly onChanged?: (session: LiveSession) => void;
}

/** The effect of a new snapshot on an access. */
export interface Enforced {
  /** The lock that caused the effect, or null. */
  readonly lock: Lock | null;
  readonly connections: number;
  readonly sessions: number;
  readonly frozen: number;
  /** Writes the audit row; called once every affected user has been notified. */
  readonly audit: () => void;
}

/** Locks in force by session: those that end it, freeze its input, or require a moderator. */
export interface SessionLocks {
  readonly ended: ReadonlyMap<string, Lock>;
  readonly frozen: ReadonlyMap<string, Lock>;
  readonly moderated: ReadonlyMap<string, Lock>;
}

export class Access {
  readonly facts: AccessFacts;
  readonly #source: AccessSource;
  readonly #deps: AccessDeps;
  readonly #sessions = new Set<LiveSession>();
  #slot: Slot | undefined;
  #limits: LimitTimer | undefined;
  #gone: (() => void) | undefined;
  #over = false;

  constructor(facts: AccessFacts, source: AccessSource, deps: AccessDeps) {
    this.facts = facts;
    this.#source = source;
    this.#deps = deps;
  }

  /** Whether the user's certificate has expired: running sessions continue within their own limits, but no session can start. */
  get expired(): boolean {
    return this.#deps.now() >= this.facts.identity.validBefore * 1000;
  }

  get sessions(): ReadonlySet<LiveSession> {
    return this.#sessions;
  }

  /** Holds the slot, which is released when the access is gone. */
  hold(slot: Slot): void {
    this.#slot = slot;
  }

  /** Starts the limits that the decision sets. `gone`: called once by `leave`. */
  establish(decision: { readonly limits: SessionLimits } | null, gone: () => void): void {
    this.#gone = gone;
    if (decision === null) return;
    this.#limits = new LimitTimer(this.facts.identity.validBefore * 1000, realTimers(this.#deps.now), {
      warn: (line) => this.notice(line),
      end: (error) => {
        this.audit('session.ended', error);
        this.#source.end(error);
      },
    });
    this.#limits.set(decision.limits);
  }

  /** Notes that the connection is in use. Called for every message, so it must be cheap. */
  active(): void {
    this.#limits?.active();
  }

  /** Registers a session whose recording is open. */
  begin(recorder: SessionRecorder, hooks: SessionHooks, about: SessionAbout | null = null): LiveSession {
    const session = new LiveSession(recorder, hooks, about, (left) => {
      this.#sessions.delete(left);
      this.#deps.onSession(left, false);
    });
    this.#sessions.add(session);
    this.#deps.onSession(session, true);
    return session;
  }

  /** Shows a notice from the authority, if the notice is for a session of this access. */
  show(notice: SessionNotice): void {
    const session = [...this.#sessions].find(({ id }) => id === notice.session);
    if (session === undefined) return;
    session.notice(`from ${printable(notice.by, 64)}: ${notice.text}`);
    const { target, source } = this.facts;
    this.#deps.audit({
      event: 'session.notice',
      session: session.id,
      outcome: 'success',
      reason: printable(notice.text, 256),
      actor: notice.by,
      source_address: source,
      ...auditPlace(target),
      data: JSON.stringify({ notice: notice.id }),
    });
  }

  notice(words: string): void {
    for (const session of this.#sessions) session.notice(words);
  }

  isConcerned(scope: ChangeScope): boolean {
    if (scope.concerns(this.facts)) return true;
    for (const { id } of this.#sessions) if (scope.concernsSession(id)) return true;
    return false;
  }

  /** Applies a new snapshot: ends and freezes sessions immediately, and returns the effects to audit. */
  recheck(snapshot: Snapshot, locks: SessionLocks): readonly Enforced[] {
    const now = this.#deps.now();
    try {
      const limits = this.#source.reauthorize(snapshot, now);
      if (limits !== null) this.#limits?.set(limits);
    } catch (error) {
      const known = asStenoError(error);
      const sessions = this.#sessions.size;
      this.#source.end(known);
      return [{ lock: lockOf(known), connections: 1, sessions, frozen: 0, audit: () => this.audit('session.ended', known) }];
    }
    return [...this.#sessions].flatMap((session) => this.#applyLocks(session, snapshot, locks, now));
  }

  audit(event: string, error: StenoError, session = ''): void {
    const { identity, target, source } = this.facts;
    this.#deps.audit({
      event,
      session,
      outcome: 'failure',
      code: error.code,
      reason: printable(error.detail ?? '', 256),
      actor: identity.user,
      source_address: source,
      ...auditPlace(target),
      ...(identity.requests.length === 0 ? {} : { data: JSON.stringify({ requests: identity.requests }) }),
    });
  }

  /** Releases the slot and stops the limits. May be called again. */
  leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#limits?.stop();
    this.#slot?.leave();
    this.#gone?.();
  }

  #applyLocks(session: LiveSession, snapshot: Snapshot, { ended, frozen, moderated }: SessionLocks, now: number): readonly Enforced[] {
    const { id } = session;
    if (ended.has(id)) {
      const error = refusalOf(() => assertSessionUnlocked(snapshot, id, now));
      session.end(error);
      return [{ lock: lockOf(error), connections: 0, sessions: 1, frozen: 0, audit: () => this.audit('session.ended', error, id) }];
    }
    const enforced: Enforced[] = [];
    const held = (lock: Lock | null, event: string, closed: boolean): void => {
      const audit = (): void => this.#auditGate(event, id, lock);
      enforced.push({ lock, connections: 0, sessions: 0, frozen: closed ? 1 : 0, audit });
    };
    const freeze = frozen.get(id) ?? null;
    if (freeze === null ? session.gate.reopen() : session.gate.close(printable(freeze.reason, 256)))
      held(freeze, freeze === null ? 'session.unfrozen' : 'session.frozen', freeze !== null);
    const demand = moderated.get(id) ?? null;
    if (session.requireModerator(demand === null ? null : printable(demand.reason, 256))) {
      held(demand, demand === null ? 'session.moderation_lifted' : 'session.moderation_required', session.awaitsModerator);
      this.#deps.onChanged?.(session);
    }
    return enforced;
  }

  #auditGate(event: string, session: string, lock: Lock | null): void {
    const { identity, target, source } = this.facts;
    this.#deps.audit({
      event,
      session,
      outcome: 'success',
      reason: printable(lock?.reason ?? '', 256),
      actor: identity.user,
      source_address: source,
      ...auditPlace(target),
      ...(lock === null ? {} : { data: JSON.stringify({ lock: lock.id }) }),
    });
  }
}

function refusalOf(check: () => void): StenoError {
  try {
    check();
  } catch (error) {
    return asStenoError(error);
  }
  return new StenoError('LOCKED');
}

function lockOf({ cause }: StenoError): Lock | null {
  return typeof cause === 'object' && cause !== null && 'target_kind' in cause ? (cause as Lock) : null;
}
