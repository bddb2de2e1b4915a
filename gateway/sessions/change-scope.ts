/**
 * Whom a change of the snapshot can concern: what is decided about everybody else stays as it is, and is not decided again.
 *
 * What is decided about a user's access follows from the CAs and clusters (a change of these concerns everybody), the roles of
 * the certificate and of its grants, the node or Kubernetes cluster, and locks. So a change is asked which of these it names, by the delta of the
 * watch (schemas/watch.ts). Everybody is concerned where that cannot be told: by the first snapshot, by one that is not the next
 * of the last, and once a lock or a grant has run out. change-scope.test.ts compares with deciding everything again.
 */
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import type { SnapshotDelta } from '#schemas/watch.js';
import type { SessionTarget } from './target.js';

/** Somebody about whom something is decided; `target` null: a connection that only leads to further ones. */
export interface Subject {
  readonly identity: Pick<UserIdentity, 'user' | 'roles' | 'requests' | 'mfa' | 'cluster'>;
  readonly target: SessionTarget | null;
}

type List = 'roles' | 'locks';

export interface ChangeScope {
  /** False: nobody, whoever it is. */
  readonly any: boolean;
  concerns(subject: Subject): boolean;
  /** A lock on this session, or on its input. */
  concernsSession(id: string): boolean;
  /** Whether anything in this list is another. */
  changed(list: List): boolean;
}

export const everybody: ChangeScope = { any: true, concerns: () => true, concernsSession: () => true, changed: () => true };

/** Follows the snapshots of a watch, one after the other. */
export class SnapshotChanges {
  #last: Snapshot | undefined;
  /** When the first lock or grant of the last snapshot runs out, ms since 1970. */
  #due = Infinity;

  constructor(current: Snapshot | null) {
    this.#keep(current ?? undefined);
  }

  /** `delta`: what the watch has applied to the last snapshot; null where it got a whole one. `now`: ms since 1970. */
  next(snapshot: Snapshot, delta: SnapshotDelta | null, now: number): ChangeScope {
    const before = this.#last;
    const due = this.#due;
    this.#keep(snapshot);
    if (delta === null || before?.version !== delta.from || snapshot.version !== delta.version || now >= due) return everybody;
    const touched = (list: 'clusters'): boolean => (delta.put[list]?.length ?? 0) + (delta.gone[list]?.length ?? 0) > 0;
    return Object.keys(delta.values).length > 0 || touched('clusters') ? everybody : scopeOf(delta, before);
  }

  #keep(snapshot: Snapshot | undefined): void {
    this.#last = snapshot;
    this.#due = Infinity;
    for (const { expires_at: at } of snapshot?.locks ?? []) if (at !== null && at < this.#due) this.#due = at;
    for (const { ends_at: at } of snapshot?.grants ?? []) if (at < this.#due) this.#due = at;
  }
}

function scopeOf({ put, set, gone }: SnapshotDelta, before: Snapshot): ChangeScope {
  const names = (list: 'nodes' | 'roles' | 'kube_clusters'): ReadonlySet<string> =>
    new Set([...(put[list] ?? []).map(({ name }) => name), ...(gone[list] ?? [])]);
  const [nodes, roles, kube] = [names('nodes'), names('roles'), names('kube_clusters')];
  const invited = new Set([
    ...(put.invitations ?? []).map(({ user }) => user),
    ...(gone.invitations ?? []).flatMap((id) => before.invitations.find((one) => one.id === id)?.user ?? []),
  ]);
  const users = new Set([...invited, ...Object.keys(set.names_since ?? {}), ...(gone.names_since ?? [])]);
  const requests = new Set(
    (['grants', 'void_grants'] as const).flatMap((list) => [...(put[list] ?? []).map(({ id }) => id), ...(gone[list] ?? [])]),
  );
  const locks = changedLocks(put.locks ?? [], gone.locks ?? [], before);
  const locked = (kind: Lock['target_kind'], target: string): boolean => locks.get(kind)?.has(target) === true;
  // An invitation holds as long as who invited may invite.
  for (const { user, by, roles: held } of before.invitations)
    if (locked('user', by) || held.some((role) => roles.has(role) || locked('role', role))) users.add(user);
  const lockedRoles = locks.get('role') !== undefined;
  const any = nodes.size + roles.size + kube.size + users.size + requests.size + locks.size > 0;
  return {
    any,
    concerns({ identity: { user, roles: own, requests: asked, mfa, cluster }, target }) {
      if (!any) return false;
      // Roles of grants, and of users of other clusters, are other ones than the certificate names.
      if (
        (roles.size > 0 || lockedRoles) &&
        (asked.length > 0 || cluster !== null || own.some((role) => roles.has(role) || locked('role', role)))
      )
        return true;
      if (target?.kind === 'node' && (nodes.has(target.node) || locked('node', target.node) || locked('login', target.login))) return true;
      if (target?.kind === 'kube' && (kube.has(target.cluster) || locked('kube-cluster', target.cluster))) return true;
      if (users.has(user) || locked('user', user) || (mfa !== null && locked('mfa-device', mfa))) return true;
      return asked.some((id) => requests.has(id) || locked('request', id));
    },
    concernsSession: (id) => locked('session', id) || locked('session-input', id) || locked('session-moderation', id),
    changed: (list) => (list === 'roles' ? roles : locks).size > 0,
  };
}

/** Targets of locks that are new, changed or gone: of one that was changed, also what it named before. */
function changedLocks(
  put: readonly Lock[],
  gone: readonly string[],
  { locks }: Snapshot,
): ReadonlyMap<Lock['target_kind'], ReadonlySet<string>> {
  const ids = new Set([...put.map(({ id }) => id), ...gone]);
  const targets = new Map<Lock['target_kind'], Set<string>>();
  for (const { target_kind: kind, target } of ids.size === 0 ? [] : [...put, ...locks.filter(({ id }) => ids.has(id))])
    targets.set(kind, (targets.get(kind) ?? new Set()).add(target));
  return targets;
}
