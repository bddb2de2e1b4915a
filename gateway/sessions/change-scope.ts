/**
 * Tells which users a change of the snapshot can affect: decisions about all others stay valid and are not made again.
 *
 * The decision about a user's access depends on the CAs and clusters (a change of these affects everybody), the roles of the certificate
 * and of its grants, the node or Kubernetes cluster, and locks. The delta of the watch (schemas/watch.ts) names which of these changed.
 * Everybody is affected if the change is unknown: by the first snapshot, by a snapshot that does not directly follow the last one, and
 * once a lock or a grant has expired. change-scope.test.ts compares the result with deciding everything again.
 */
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import type { SnapshotDelta } from '#schemas/watch.js';
import type { SessionTarget } from './target.js';

/** A user to decide about; `target` null: a connection that only carries further connections. */
export interface Subject {
  readonly identity: Pick<UserIdentity, 'user' | 'roles' | 'requests' | 'mfa' | 'cluster'>;
  readonly target: SessionTarget | null;
}

type List = 'roles' | 'locks';

export interface ChangeScope {
  /** False: the change affects nobody. */
  readonly any: boolean;
  concerns(subject: Subject): boolean;
  /** Whether a lock on this session, or on its input, has changed. */
  concernsSession(id: string): boolean;
  /** Whether anything in this list has changed. */
  changed(list: List): boolean;
}

export const everybody: ChangeScope = { any: true, concerns: () => true, concernsSession: () => true, changed: () => true };

/** Follows the snapshots of a watch, one after the other. */
export class SnapshotChanges {
  #last: Snapshot | undefined;
  /** Earliest expiry of a lock or grant of the last snapshot, ms since 1970. */
  #due = Infinity;

  constructor(current: Snapshot | null) {
    this.#keep(current ?? undefined);
  }

  /** `delta`: the change that the watch applied to the last snapshot; null if it received a whole snapshot. `now`: ms since 1970. */
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
  // An invitation is valid only as long as the inviting user may invite.
  for (const { user, by, roles: held } of before.invitations)
    if (locked('user', by) || held.some((role) => roles.has(role) || locked('role', role))) users.add(user);
  const lockedRoles = locks.get('role') !== undefined;
  const any = nodes.size + roles.size + kube.size + users.size + requests.size + locks.size > 0;
  return {
    any,
    concerns({ identity: { user, roles: own, requests: asked, mfa, cluster }, target }) {
      if (!any) return false;
      // Roles from grants, and roles of users of other clusters, differ from those that the certificate names.
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

/** Targets of locks that are new, changed or gone; for a changed lock also its earlier target. */
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
