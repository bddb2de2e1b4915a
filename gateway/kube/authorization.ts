/**
 * What an admitted user may do in a Kubernetes cluster, by one snapshot: asked for each request, and again of those under
 * way when the snapshot changes. The rules themselves are in schemas/policy/kubernetes.ts. Tested in proxy.test.ts and
 * streaming.test.ts.
 */
import type { Snapshot } from '#schemas/api.js';
import { StenoError } from '#schemas/base/errors.js';
import { interactive } from '#schemas/kube/request-line.js';
import type { KubeClusterRecord } from '#schemas/kube/kube-cluster.js';
import { decideKube, kubeUserOf, mayUseCluster } from '#schemas/policy/kubernetes.js';
import type { KubeRequest } from '#schemas/policy/kubernetes.js';
import type { SessionLimits, SessionTerms } from '#schemas/policy/node.js';
import { assertAdmitted } from '../sessions/authorization.js';
import { assertTrusted } from './client-certificate.js';
import type { CertifiedUser } from './client-certificate.js';

export interface KubeAuthorized {
  readonly cluster: KubeClusterRecord;
  readonly impersonate: string;
  readonly groups: readonly string[];
  readonly roles: readonly string[];
  /** Of a request to a resource; discovery is under none. */
  readonly terms: SessionTerms | null;
}

export const NO_LIMITS: SessionLimits = { maxSessionLength: null, idleTimeout: null, maxSessions: null, disconnectExpiredCert: false };

/** `request` null: discovery. Throws CERT_UNKNOWN_CA, LOCKED, REQUEST_OVER, KUBE_CLUSTER_UNKNOWN, ACCESS_DENIED, KUBE_UNSUPPORTED, KUBE_NO_MFA. */
export function authorizeKube(
  snapshot: Snapshot,
  user: CertifiedUser,
  { cluster: name, request }: { readonly cluster: string; readonly request: KubeRequest | null },
  now: number,
): KubeAuthorized {
  assertTrusted(user, snapshot);
  const { identity } = user;
  const roles = assertAdmitted(snapshot, identity, undefined, now);
  // An authority of before knows of no clusters.
  const cluster = ((snapshot.kube_clusters as Snapshot['kube_clusters'] | undefined) ?? []).find((known) => known.name === name);
  if (cluster === undefined) throw new StenoError('KUBE_CLUSTER_UNKNOWN', name);
  const subject = { user: identity.user, traits: identity.traits, roles };
  const names = [...new Set(roles.map((role) => role.name))];
  if (request === null) {
    if (!mayUseCluster(subject, cluster)) throw new StenoError('ACCESS_DENIED', `no role of ${identity.user} allows anything on ${name}`);
    // Without groups: what every authenticated user of the cluster may discover.
    return { cluster, impersonate: kubeUserOf(identity), groups: [], roles: names, terms: null };
  }
  const decision = decideKube(subject, cluster, request);
  if (!decision.allowed) throw new StenoError('ACCESS_DENIED', decision.reason);
  assertSupported(request);
  const { terms } = decision;
  if (terms.sessionMfa) throw new StenoError('KUBE_NO_MFA', decision.by);
  if (terms.enhanced.mode === 'strict' && runsSomething(request))
    throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', `pods of ${name} are not watched by an agent`);
  return { cluster, impersonate: decision.impersonate, groups: decision.groups, roles: names, terms };
}

function runsSomething({ subresource }: KubeRequest): boolean {
  return subresource !== null && interactive.has(subresource);
}

/** Ways past the recording: to ports of pods, services and nodes, where a kubelet runs commands for whoever reaches it. */
function assertSupported({ resource, subresource }: KubeRequest): void {
  if (subresource === 'proxy' || subresource === 'portforward')
    throw new StenoError('KUBE_UNSUPPORTED', `${resource}/${subresource} is not recorded yet, so it is not passed on`);
}
