/**
 * Who may do what with which sessions: the policy of schemas/policy/session.ts, applied to every list, session, segment,
 * search, export and live call.
 *
 * A session that may not be listed is answered like one that does not exist, so that ids cannot be probed. Queries carry the
 * policy as a condition (`visible`), which the event store evaluates: it decides as `may` does. Tested as a table in
 * access.test.ts.
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
  /** Names. */
  readonly roles: readonly string[];
  readonly subject: Subject;
  /** How much of the list they see. */
  readonly view: View;
}

/** Rows that a query may return. `each`: those that `visible` admits; `nobody`: none, because the filter excludes all permitted rows. */
export type Narrowed =
  | { readonly kind: 'any' }
  | { readonly kind: 'user'; readonly user: string }
  | { readonly kind: 'each'; readonly user: string | undefined; readonly visible: Condition }
  | { readonly kind: 'nobody' };

/** The facts that decisions rest on; labels are those of the node when the session began. */
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

  /** `mode`: of what a rule allows by mode. */
  may(viewer: Viewer, action: SessionAction, session: SeenSession, mode?: JoinMode): boolean {
    return decideSession(viewer.subject, action, session, labelsOf(session), mode).allowed;
  }

  /** Whether what the viewer sees of it carries a watermark. */
  isMarked(viewer: Viewer, session: SeenSession): boolean {
    return asksForWatermark(viewer.subject, session, labelsOf(session));
  }

  /** `may` for counts and people's SQL: which sessions they see. Undefined: every one. */
  visible(viewer: Viewer, action: SessionAction): Condition | undefined {
    return sessionScope(viewer.subject, action) === 'all' ? undefined : sessionCondition(viewer.subject, action);
  }

  /** Whether there may be any session at all for this. */
  sees(viewer: Viewer, action: SessionAction): boolean {
    return sessionScope(viewer.subject, action) !== 'none';
  }

  /** Throws SESSION_UNKNOWN for a session that may not even be listed, ACCESS_DENIED for what roles keep from it. */
  require(viewer: Viewer, action: SessionAction, session: SeenSession): void {
    const verdict = decideSession(viewer.subject, action, session, labelsOf(session));
    if (verdict.allowed) return;
    if (action === 'list' || !this.may(viewer, 'list', session)) throw new StenoError('SESSION_UNKNOWN');
    throw new StenoError('ACCESS_DENIED', verdict.reason);
  }

  /** Throws ACCESS_DENIED for who may do this with no session at all. */
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

/** Throws ACCESS_DENIED unless roles allow to read this. `view: all` reads the audit log and findings too. */
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
