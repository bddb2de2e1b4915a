/**
 * Decides, by one snapshot, what an admitted user may do on a node: when a connection is made, and again for live connections when the
 * snapshot changes. Tested in ../ssh/server/gateway.test.ts; the rules themselves in schemas/policy/node.test.ts.
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
  /** The roles of the certificate, including granted ones. */
  readonly roles: readonly Role[];
  /** Set if the node is reached through the gateways of a trusted cluster. */
  readonly remote: RemoteNode | undefined;
}

/**
 * Throws NODE_UNKNOWN, LOCKED, REQUEST_OVER or ACCESS_DENIED. `now`: ms since 1970. A local node takes precedence over another cluster's.
 */
export function authorize(snapshot: Snapshot, identity: UserIdentity, target: Target, now: number): Authorized {
  const own = nodeIn(snapshot.nodes, target.node);
  // A user of another cluster cannot go on to a third: trust is not transitive.
  const remote = own === undefined && identity.cluster === null ? remoteNode(snapshot.clusters, target.node) : undefined;
  const node = own ?? remote?.node;
  if (node === undefined) throw new StenoError('NODE_UNKNOWN', target.node);
  const roles = assertAdmitted(snapshot, identity, target, now);
  const decision = decide({ ...identity, roles }, node, target.login);
  if (!decision.allowed) throw new StenoError('ACCESS_DENIED', decision.reason);
  return { node, decision, roles, remote };
}

/** Throws CLUSTER_NO_MFA for a user of another cluster, who cannot confirm a session here. Applied to new sessions, never to live ones. */
export function assertConfirmable({ cluster }: UserIdentity, { sessionMfa }: Allowed): void {
  if (sessionMfa && cluster !== null) throw new StenoError('CLUSTER_NO_MFA', cluster);
}

/** Whether this session requires a second factor first. A user who is refused, or cannot give one, gets the reason later, as text. */
export function needsConfirmation(snapshot: Snapshot, identity: UserIdentity, target: Target, now: number): boolean {
  try {
    return identity.cluster === null && authorize(snapshot, identity, target, now).decision.sessionMfa;
  } catch {
    return false;
  }
}

/**
 * Returns the roles of the certificate, including granted ones. Throws LOCKED for a lock on the user, on a role, request or device of
 * the certificate, or on the target if there is one; REQUEST_OVER or ACCESS_DENIED if the certificate is no longer valid.
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
