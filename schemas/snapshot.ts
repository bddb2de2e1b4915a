/** The snapshot: what the authority tells every stage, first whole and then by its changes (watch.ts). */
import type { Grant } from './documents/access-request.js';
import type { TrustedCluster } from './documents/cluster.js';
import type { Lock } from './documents/lock.js';
import type { SessionInvitation } from './documents/session-invitation.js';
import type { KubeClusterRecord } from './kube/kube-cluster.js';
import type { NodeRecord, Role } from './policy/role.js';
import type { SessionNotice } from './session-notice.js';

/** Keys of the CAs that count: one each, or two while a CA is rotated, the older first. */
export interface CaTrust {
  /** Public key lines. */
  readonly ssh_user_ca: readonly string[];
  readonly ssh_host_ca: readonly string[];
  readonly recording_ca: readonly string[];
  /** CA keys of old recordings: existing certificates are verified with them, and new ones are refused. */
  readonly recording_ca_retired: readonly string[];
  /** Certificates in PEM. */
  readonly x509_user_ca: readonly string[];
  readonly service_ca: readonly string[];
  /** Which of them signs for services now: what another has signed is to be renewed. `authority`: its own certificate. */
  readonly signing: { readonly ssh_host: string; readonly recording: string; readonly service: string; readonly authority: string };
}

export interface Snapshot extends CaTrust {
  readonly version: number;
  readonly roles: readonly Role[];
  readonly nodes: readonly NodeRecord[];
  readonly locks: readonly Lock[];
  /** Words to live sessions. */
  readonly notices: readonly SessionNotice[];
  /** Into live sessions, that are not over. */
  readonly invitations: readonly SessionInvitation[];
  /** Services that were removed before their certificates ran out, ms since 1970: what counts is the key, SHA-256 of the SPKI in hex. */
  readonly removed_services: readonly { readonly key: string; readonly service: string; readonly until: number }[];
  /** Our own name among clusters, and those we trust. */
  readonly cluster: string;
  readonly clusters: readonly TrustedCluster[];
  /** Kubernetes clusters, without how they are reached. */
  readonly kube_clusters: readonly KubeClusterRecord[];
  /** Changes with any detection rule; analyzers then read them anew. Left out by authorities that keep none. */
  readonly rule_set?: number;
  /** A digest of the SIEM destinations that are kept; analyzers read them anew when it changes. Left out by authorities that keep none. */
  readonly siem_set?: string;
  /** Grants of approved access requests, while they last. */
  readonly grants: readonly Grant[];
  /** Approved requests that a changed role makes void (access-request.ts). */
  readonly void_grants: readonly { readonly id: string; readonly user: string; readonly changed: readonly string[] }[];
  /** Users whose name another had before, and since when it is theirs, ms since 1970. */
  readonly names_since: Readonly<Record<string, number>>;
  /** Users whose account, or name, was in other hands, and since when what is under the name is theirs to see as their own. */
  readonly own_since: Readonly<Record<string, number>>;
}
