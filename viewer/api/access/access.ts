/**
 * Who may do what with which sessions: the policy of schemas/policy/session.ts, applied to every list, session, segment,
 * search, export and live call.
 *
 * A request for a session that may not be listed gets the same answer as one for a session that does not exist, so that ids cannot be
 * probed. Queries carry the policy as a condition (`visible`), which the event store evaluates: the condition and `may` decide alike.
 * Tested as a table in access.test.ts.
 */
import type { Me } from '#schemas/api/front/sign-in.js';
import { StenoError } from '#schemas/base/errors.js';
import { decideResource } from '#schemas/policy/administration.js';
import { decideSession, sessionCondition, sessionScope } from '#schemas/policy/session.js';
import type { SessionScope, SessionTarget } from '#schemas/policy/session.js';
import type { Condition } from '#schemas/policy/session-condition.js';
import { asksForWatermark } from '#schemas/policy/watermark.js';
import type { Subject, Verdict } from '#schemas/policy/subject.js';
import type { JoinMode, ResourceKind, SessionAction } from '#schemas/policy/role.js';
import type { SessionRow } from '#schemas/events/rows.js';

export type View = SessionScope;

export interface Viewer {
  readonly user: string;
  /** Names of the viewer's roles. */
  readonly roles: readonly string[];
  readonly subject: Subject;
  /** How much of the list of sessions the viewer sees. */
  readonly view: View;
}

/** Rows that a query may return. `each`: those that `visible` admits; `nobody`: none, because the filter excludes all permitted rows. */
export type Narrowed =
  | { readonly kind: 'any' }
  | { readonly kind: 'user'; readonly user: string }
  | { readonly kind: 'each'; readonly user: string | undefined; readonly visible: Condition }
  | { readonly kind: 'nobody' };

/** The facts on which decisions depend; the labels are those of the node when the session began. */
export type SeenSession = SessionTarget & Pick<SessionRow, 'labels' | 'labels_known'>;

export class Access {
  readonly #ownSince: () => Readonly<Record<string, number>>;

  /** `ownSince`: `own_since` of the snapshot. */
  constructor(ownSince: () => Readonly<Record<string, number>>) {
    this.#ownSince = ownSince;
  }

  viewer(person: Subject): Viewer {
    const names = this.#ownSince();
    const subject = Object.hasOwn(names, person.user) ? { ...person, since: names[person.user]! } : person;
    return { user: subject.user, roles: subject.roles.map(({ name }) => name), subject, view: sessionScope(subject, 'list') };
  }

  /** `mode`: the join mode, for rules that depend on it. */
  may(viewer: Viewer, action: SessionAction, session: SeenSession, mode?: JoinMode): boolean {
    return decideSession(viewer.subject, action, session, labelsOf(session), mode).allowed;
  }

  /** Whether content of the session shown to the viewer carries a watermark. */
  isMarked(viewer: Viewer, session: SeenSession): boolean {
    return asksForWatermark(viewer.subject, session, labelsOf(session));
  }

  /** `may` as a condition, for counts and users' SQL: the sessions that the viewer may access. Undefined: all of them. */
  visible(viewer: Viewer, action: SessionAction): Condition | undefined {
    return sessionScope(viewer.subject, action) === 'all' ? undefined : sessionCondition(viewer.subject, action);
  }

  /** Whether the viewer may do this with any session at all. */
  sees(viewer: Viewer, action: SessionAction): boolean {
    return sessionScope(viewer.subject, action) !== 'none';
  }

  /** Throws SESSION_UNKNOWN if the session may not even be listed, ACCESS_DENIED if roles forbid the action. */
  require(viewer: Viewer, action: SessionAction, session: SeenSession): void {
    const verdict = decideSession(viewer.subject, action, session, labelsOf(session));
    if (verdict.allowed) return;
    if (action === 'list' || !this.may(viewer, 'list', session)) throw new StenoError('SESSION_UNKNOWN');
    throw new StenoError('ACCESS_DENIED', verdict.reason);
  }

  /** Throws ACCESS_DENIED if the viewer may do this with no session at all. */
  narrow(viewer: Viewer, action: SessionAction, wanted: string | undefined): Narrowed {
    const scope = sessionScope(viewer.subject, action);
    if (scope === 'none')
      throw new StenoError(
        'ACCESS_DENIED',
        action === 'list' ? 'your roles do not let you see recordings' : `your roles do not let you ${action} recordings`,
      );
    if (scope === 'some') return { kind: 'each', user: wanted, visible: sessionCondition(viewer.subject, action) };
    if (scope === 'all') return wanted === undefined ? { kind: 'any' } : { kind: 'user', user: wanted };
    return wanted === undefined || wanted === viewer.user ? { kind: 'user', user: viewer.user } : { kind: 'nobody' };
  }
}

function labelsOf({ labels, labels_known: known }: SeenSession): SessionRow['labels'] | null {
  return known ? labels : null;
}

/** The facts that users are shown about themselves. */
export function meOf(viewer: Viewer): Me {
  const { user, roles, view } = viewer;
  return {
    ...{ user, roles, view },
    audit: readingVerdict(viewer, 'audit').allowed,
    findings: readingVerdict(viewer, 'finding').allowed,
    triage: decideResource(viewer.subject, 'finding', 'update').allowed,
    sql: readingVerdict(viewer, 'sql').allowed,
    cases: {
      read: readingVerdict(viewer, 'case').allowed,
      create: decideResource(viewer.subject, 'case', 'create').allowed,
      update: decideResource(viewer.subject, 'case', 'update').allowed,
    },
    notes: decideResource(viewer.subject, 'note', 'create').allowed,
    searches: {
      create: decideResource(viewer.subject, 'search', 'create').allowed,
      share: decideResource(viewer.subject, 'search', 'update').allowed,
    },
  };
}

/** Throws ACCESS_DENIED unless the viewer's roles permit reading this kind. `view: all` also permits reading the audit log and findings. */
export function requireReading(viewer: Viewer, kind: ResourceKind): void {
  const verdict = readingVerdict(viewer, kind);
  if (!verdict.allowed) throw new StenoError('ACCESS_DENIED', verdict.reason);
}

export function readingVerdict({ subject }: Viewer, kind: ResourceKind): Verdict {
  const verdict = decideResource(subject, kind, 'read');
  const all = subject.roles.find(({ view }) => view === 'all');
  return (kind === 'audit' || kind === 'finding') && !verdict.allowed && verdict.because === null && all !== undefined
    ? { allowed: true, because: { role: all.name, path: ['view'] } }
    : verdict;
}
