/**
 * What an admitted user may do on a node, by one snapshot: asked when a connection is made, and again of live ones when
 * the snapshot changes. Tested in gateway.test.ts; the rules themselves in schemas/policy/node.test.ts.
 */
import type { Snapshot } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import type { Target, UserIdentity } from '#schemas/identity.js';
import { decide } from '#schemas/policy/node.js';
import type { Allowed } from '#schemas/policy/node.js';
import type { NodeRecord, Role } from '#schemas/role.js';
import { assertCounts, assertUnlocked } from '#runtime/request-auth.js';

/** Throws NODE_UNKNOWN, LOCKED, REQUEST_OVER or ACCESS_DENIED. `now`: ms since 1970. */
export function authorize(
  snapshot: Snapshot, identity: UserIdentity, target: Target, now: number,
): { readonly node: NodeRecord; readonly decision: Allowed; readonly roles: readonly Role[] } {
  const node = snapshot.nodes.find(({ name }) => name === target.node);
  if (node === undefined) throw new StenoError('NODE_UNKNOWN', target.node);
  const roles = assertAdmitted(snapshot, identity, target, now);
  const decision = decide({ ...identity, roles }, node, target.login);
  if (!decision.allowed) throw new StenoError('ACCESS_DENIED', decision.reason);
  return { node, decision, roles };
}

/**
 * The roles of the certificate, granted ones included. Throws LOCKED for a lock on the user, a role, request or device of
 * the certificate, or the target if there is one; REQUEST_OVER or ACCESS_DENIED when it no longer counts.
 */
export function assertAdmitted(snapshot: Snapshot, identity: UserIdentity, target: Target | undefined, now: number): readonly Role[] {
  const roles = assertCounts(identity, snapshot, now);
  if (target !== undefined) assertUnlocked(snapshot.locks, [['login', target.login], ['node', target.node]], now);
  return roles;
}

/** Throws LOCKED for a lock on one session. */
export function assertSessionUnlocked(snapshot: Snapshot, session: string, now: number): void {
  assertUnlocked(snapshot.locks, [['session', session]], now);
}
