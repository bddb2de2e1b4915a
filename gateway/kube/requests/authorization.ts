/**
 * Decides, by one snapshot, what an admitted user may do in a Kubernetes cluster: for each request, and again for running requests when
 * the snapshot changes. The rules themselves are in schemas/policy/kubernetes.ts. Tested in ../proxy.test.ts and ../streaming.test.ts.
 */
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { KubeClusterRecord } from '#schemas/kube/kube-cluster.js';
import { decideKube, kubeUserOf, mayUseCluster } from '#schemas/policy/kubernetes.js';
import type { KubeObject, KubeRequest } from '#schemas/policy/kubernetes.js';
import { NO_FORWARDING } from '#schemas/policy/forwarding.js';
import type { Forwarding } from '#schemas/policy/forwarding.js';
import type { SessionLimits, SessionTerms } from '#schemas/policy/node.js';
import { assertUnlocked } from '#runtime/http/request-auth.js';
import { assertAdmitted } from '../../sessions/authorization.js';
import { assertTrusted } from '#runtime/http/x509-user.js';
import type { CertifiedUser } from '#runtime/http/x509-user.js';

export interface KubeAuthorized {
  readonly cluster: KubeClusterRecord;
  readonly impersonate: string;
  readonly groups: readonly string[];
  readonly roles: readonly string[];
  /** For a list or watch that may be seen only in part: tells which objects may be seen. */
  readonly shows: ((object: KubeObject) => boolean) | null;
  /** Rules for a port-forward. */
  readonly forwarding: Forwarding;
  /** Terms of a request to a resource; null for discovery. */
  readonly terms: SessionTerms | null;
  /** Whether the request needs a recent second factor (confirmations.ts). */
  readonly confirm: boolean;
  /** Whether the body is recorded, and the resources whose values are redacted (recorded-body.ts). */
  readonly bodies: { readonly redact: readonly string[] } | null;
  /** Whether the answer shows keys without values (../partial-answer.ts). */
  readonly hidesValues: boolean;
}

export const NO_LIMITS: SessionLimits = {
  maxSessionLength: null,
  idleTimeout: null,
  maxSessions: null,
  disconnectExpiredCert: false,
  reconnect: null,
};

/** `request` null: discovery. Throws CERT_UNKNOWN_CA, LOCKED, REQUEST_OVER, KUBE_CLUSTER_UNKNOWN, ACCESS_DENIED, KUBE_UNSUPPORTED. */
export function authorizeKube(
  snapshot: Snapshot,
  user: CertifiedUser,
  { cluster: name, request }: { readonly cluster: string; readonly request: KubeRequest | null },
  now: number,
): KubeAuthorized {
  assertTrusted(user, snapshot);
  const { identity } = user;
  const roles = assertAdmitted(snapshot, identity, undefined, now);
  assertUnlocked(snapshot.locks, [['kube-cluster', name]], now);
  // An older authority publishes no clusters.
  const cluster = ((snapshot.kube_clusters as Snapshot['kube_clusters'] | undefined) ?? []).find((known) => known.name === name);
  if (cluster === undefined) throw new StenoError('KUBE_CLUSTER_UNKNOWN', name);
  const subject = { user: identity.user, traits: identity.traits, roles };
  const names = [...new Set(roles.map((role) => role.name))];
  if (request === null) {
    if (!mayUseCluster(subject, cluster)) throw new StenoError('ACCESS_DENIED', `no role of ${identity.user} allows anything on ${name}`);
    // Without groups: only discovery that every authenticated user of the cluster is allowed.
    return {
      cluster,
      impersonate: kubeUserOf(identity),
      groups: [],
      roles: names,
      forwarding: NO_FORWARDING,
      shows: null,
      terms: null,
      confirm: false,
      bodies: null,
      hidesValues: false,
    };
  }
  const decision = decideKube(subject, cluster, request);
  if (!decision.allowed) throw new StenoError('ACCESS_DENIED', decision.reason);
  assertSupported(request);
  if (request.subresource === 'portforward' && !reachesLoopback(decision.forwarding))
    throw new StenoError('ACCESS_DENIED', `no role of ${identity.user} allows port forwarding to pods`);
  const { terms } = decision;
  // Nobody can watch a forwarded connection.
  if (terms.moderation.length > 0 && request.subresource === 'portforward')
    throw new StenoError('MODERATION_IMPOSSIBLE', `role ${terms.moderation[0]!.role}`);
  if (terms.enhanced.mode === 'strict' && request.subresource === 'portforward')
    throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'what a pod does with a forwarded connection is not recorded');
  const { impersonate, groups, forwarding, shows, confirm, bodies, hidesValues } = decision;
  return { cluster, impersonate, groups, roles: names, forwarding, shows, terms, confirm, bodies, hidesValues };
}

/** Whether any port of a pod may be forwarded: connections lead to its loopback address. */
function reachesLoopback({ allow, deny }: Forwarding): boolean {
  return allow.some(({ local, loopback }) => local && loopback) && !deny.some(({ local, loopback }) => local || loopback);
}

/** Refuses ways around the recording: proxies to ports of services and nodes, where a kubelet runs commands for anyone who reaches it. */
function assertSupported({ resource, subresource }: KubeRequest): void {
  if (subresource === 'proxy')
    throw new StenoError('KUBE_UNSUPPORTED', `${resource}/${subresource} is not recorded yet, so it is not passed on`);
}
