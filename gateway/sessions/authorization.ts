/**
 * What an admitted user may do on a node, by one snapshot: asked when a connection is made, and again of live ones when
 * the snapshot changes. Tested in ../ssh/server/gateway.test.ts; the rules themselves in schemas/policy/node.test.ts.
 */
import type { Snapshot } from '#schemas/snapshot.js';
import { remoteNode } from '#schemas/documents/cluster.js';
import type { RemoteNode } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Target, UserIdentity } from '#schemas/base/identity.js';
import { decide } from '#schemas/policy/node.js';
import type { Allowed } from '#schemas/policy/node.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import { nodeIn } from '#schemas/watch.js';
import { assertCounts, assertUnlocked } from '#runtime/http/request-auth.js';

export interface Authorized {
  readonly node: NodeRecord;
  readonly decision: Allowed;
  /** Of the certificate, granted ones included. */
  readonly roles: readonly Role[];
  /** Set where the way leads through the gateways of a trusted cluster. */
  readonly remote: RemoteNode | undefined;
}

/** Throws NODE_UNKNOWN, LOCKED, REQUEST_OVER or ACCESS_DENIED. `now`: ms since 1970. A node of our own comes before one of another cluster. */
export function authorize(snapshot: Snapshot, identity: UserIdentity, target: Target, now: number): Authorized {
  const own = nodeIn(snapshot.nodes, target.node);
  // Who came from another cluster goes no further: trust is not passed on.
  const remote = own === undefined && identity.cluster === null ? remoteNode(snapshot.clusters, target.node) : undefined;
  const node = own ?? remote?.node;
  if (node === undefined) throw new StenoError('NODE_UNKNOWN', target.node);
  const roles = assertAdmitted(snapshot, identity, target, now);
  const decision = decide({ ...identity, roles }, node, target.login);
  if (!decision.allowed) throw new StenoError('ACCESS_DENIED', decision.reason);
  return { node, decision, roles, remote };
}

/** Throws CLUSTER_NO_MFA for a user of another cluster, who has nobody here to confirm to. Of a new session, never of a live one. */
export function assertConfirmable({ cluster }: UserIdentity, { sessionMfa }: Allowed): void {
  if (sessionMfa && cluster !== null) throw new StenoError('CLUSTER_NO_MFA', cluster);
}

/** Whether a second factor comes before this session. Who may not come in at all, or cannot give one, is told so later, in words. */
export function needsConfirmation(snapshot: Snapshot, identity: UserIdentity, target: Target, now: number): boolean {
  try {
    return identity.cluster === null && authorize(snapshot, identity, target, now).decision.sessionMfa;
  } catch {
    return false;
  }
}

/**
 * The roles of the certificate, granted ones included. Throws LOCKED for a lock on the user, a role, request or device of
 * the certificate, or the target if there is one; REQUEST_OVER or ACCESS_DENIED when it no longer counts.
 */
export function assertAdmitted(snapshot: Snapshot, identity: UserIdentity, target: Target | undefined, now: number): readonly Role[] {
  const roles = assertCounts(identity, snapshot, now);
  if (target !== undefined)
    assertUnlocked(
      snapshot.locks,
      [
        ['login', target.login],
        ['node', target.node],
      ],
      now,
    );
  return roles;
}

/** Throws LOCKED for a lock on one session. */
export function assertSessionUnlocked(snapshot: Snapshot, session: string, now: number): void {
  assertUnlocked(snapshot.locks, [['session', session]], now);
}
