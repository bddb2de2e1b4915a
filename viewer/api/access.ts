/**
 * Who may do what with which sessions: the policy of schemas/policy/session.ts, applied to every list, session, segment,
 * search, export and live call.
 *
 * A session that may not be listed is answered like one that does not exist, so that ids cannot be probed. Where roles
 * have to be asked of each session, queries are filtered row by row: a page may then be shorter than asked for, and its
 * cursor goes on behind the last row that was looked at. Tested as a table in access.test.ts.
 */
import type { Me } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { decideResource } from '#schemas/policy/administration.js';
import { decideSession, sessionScope } from '#schemas/policy/session.js';
import type { SessionScope, SessionTarget } from '#schemas/policy/session.js';
import type { Subject, Verdict } from '#schemas/policy/subject.js';
import type { NodeRecord, ResourceKind, SessionAction } from '#schemas/role.js';

export type View = SessionScope;

export interface Viewer {
  readonly user: string;
  /** Names. */
  readonly roles: readonly string[];
  readonly subject: Subject;
  /** How much of the list they see. */
  readonly view: View;
}

/** Which rows a query may return. `each`: those that pass `Access.may`; `nobody`: wish and right do not meet. */
export type Narrowed =
  | { readonly kind: 'any' }
  | { readonly kind: 'user'; readonly user: string }
  | { readonly kind: 'each'; readonly user: string | undefined }
  | { readonly kind: 'nobody' };

/** Rows of one page that are looked at, when most of them may not be seen. */
const MAX_LOOKED_AT = 20_000;
const LARGEST_PAGE = 1_000;

export class Access {
  readonly #nodes: () => readonly NodeRecord[];
  readonly #labels = new WeakMap<readonly NodeRecord[], ReadonlyMap<string, NodeRecord['labels']>>();

  /** `nodes`: those there are now; rules ask for their labels. */
  constructor(nodes: () => readonly NodeRecord[]) {
    this.#nodes = nodes;
  }

  viewer(subject: Subject): Viewer {
    return { user: subject.user, roles: subject.roles.map(({ name }) => name), subject, view: sessionScope(subject, 'list') };
  }

  may(viewer: Viewer, action: SessionAction, session: SessionTarget): boolean {
    return decideSession(viewer.subject, action, session, this.#labelsOf(session.node)).allowed;
  }

  /** Throws SESSION_UNKNOWN for a session that may not even be listed, ACCESS_DENIED for what roles keep from it. */
  require(viewer: Viewer, action: SessionAction, session: SessionTarget): void {
    const verdict = decideSession(viewer.subject, action, session, this.#labelsOf(session.node));
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
    if (scope === 'some') return { kind: 'each', user: wanted };
    if (scope === 'all') return wanted === undefined ? { kind: 'any' } : { kind: 'user', user: wanted };
    return wanted === undefined || wanted === viewer.user ? { kind: 'user', user: viewer.user } : { kind: 'nobody' };
  }

  #labelsOf(node: string): NodeRecord['labels'] | null {
    const nodes = this.#nodes();
    const known = this.#labels.get(nodes) ?? new Map(nodes.map(({ name, labels }) => [name, labels]));
    this.#labels.set(nodes, known);
    return known.get(node) ?? null;
  }
}

/** What a person is told of themselves. */
export function meOf(viewer: Viewer): Me {
  const { user, roles, view } = viewer;
  return { user, roles, view, audit: readingVerdict(viewer, 'audit').allowed };
}

/** Throws ACCESS_DENIED unless roles allow to read this. `view: all` reads the audit log too, as it always did. */
export function requireReading(viewer: Viewer, kind: ResourceKind): void {
  const verdict = readingVerdict(viewer, kind);
  if (!verdict.allowed) throw new StenoError('ACCESS_DENIED', verdict.reason);
}

function readingVerdict({ subject }: Viewer, kind: ResourceKind): Verdict {
  const verdict = decideResource(subject, kind, 'read');
  const all = subject.roles.find(({ view }) => view === 'all');
  return kind === 'audit' && !verdict.allowed && verdict.because === null && all !== undefined
    ? { allowed: true, because: { role: all.name, path: ['view'] } }
    : verdict;
}

/** Pages of a query until `limit` rows pass, or too many were looked at. */
export async function filtered<Row>(
  limit: number,
  cursor: string | undefined,
  page: (limit: number, cursor: string | undefined) => Promise<{ readonly rows: readonly Row[]; readonly next: string | null }>,
  passes: (row: Row) => Promise<boolean> | boolean,
): Promise<{ readonly rows: readonly Row[]; readonly next: string | null }> {
  const rows: Row[] = [];
  let from = cursor;
  for (let looked = 0; ;) {
    // Never more than there is room for: what was looked at is behind the cursor.
    const { rows: some, next } = await page(Math.min(limit - rows.length, LARGEST_PAGE), from);
    for (const row of some) if (await passes(row)) rows.push(row);
    looked += Math.max(some.length, 1);
    if (next === null || rows.length >= limit || looked >= MAX_LOOKED_AT) return { rows, next };
    from = next;
  }
}
