/** The snapshot: the data that the authority publishes to every stage, first complete and then by changes (watch.ts). */
import type { Grant } from './documents/access-request.js';
import type { TrustedCluster } from './documents/cluster.js';
import type { Lock } from './documents/lock.js';
import type { SessionInvitation } from './documents/session-invitation.js';
import type { KubeClusterRecord } from './kube/kube-cluster.js';
import type { NodeRecord, Role } from './policy/role.js';
import type { SessionNotice } from './session-notice.js';

/** The trusted CA keys: one per CA, or two during a rotation, the older first. */
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
  /** The keys that sign now; certificates signed by others must be renewed. `authority`: its own certificate. */
  readonly signing: { readonly ssh_host: string; readonly recording: string; readonly service: string; readonly authority: string };
}

export interface Snapshot extends CaTrust {
  readonly version: number;
  readonly roles: readonly Role[];
  readonly nodes: readonly NodeRecord[];
  readonly locks: readonly Lock[];
  /** Notices to live sessions. */
  readonly notices: readonly SessionNotice[];
  /** Open invitations to live sessions. */
  readonly invitations: readonly SessionInvitation[];
  /** Removed services whose certificates have not expired. `key`: SHA-256 of the SPKI in hex, which identifies the service. `until`: ms since 1970. */
  readonly removed_services: readonly { readonly key: string; readonly service: string; readonly until: number }[];
  /** Our own name among clusters, and those we trust. */
  readonly cluster: string;
  readonly clusters: readonly TrustedCluster[];
  /** Kubernetes clusters, without addresses and credentials. */
  readonly kube_clusters: readonly KubeClusterRecord[];
  /** Changes with any detection rule; analyzers then read the rules again. Omitted by authorities that store none. */
  readonly rule_set?: number;
  /** A digest of the stored SIEM destinations; analyzers read them again when it changes. Omitted by authorities that store none. */
  readonly siem_set?: string;
  /** Grants of approved access requests, while they last. */
  readonly grants: readonly Grant[];
  /** Approved requests that a changed role makes void (access-request.ts). */
  readonly void_grants: readonly { readonly id: string; readonly user: string; readonly changed: readonly string[] }[];
  /** Users whose name belonged to somebody else before, with the time since when it is theirs, ms since 1970. */
  readonly names_since: Readonly<Record<string, number>>;
  /** Users whose account or name was in other hands, with the time since when data under the name counts as their own. */
  readonly own_since: Readonly<Record<string, number>>;
}
