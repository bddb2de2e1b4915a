/** A request to a Kubernetes API: parsed, and then admitted. */
import type { KubeTarget } from '#schemas/kube/request-line.js';
import type { Access } from '../../sessions/access.js';
import type { KubeAuthorized } from './authorization.js';

/** The cluster and target of a request. */
export interface Understood {
  readonly cluster: string;
  readonly target: KubeTarget;
}

/** An admitted request, with its access registered. */
export interface Entered extends Understood {
  readonly authorized: KubeAuthorized;
  readonly access: Access;
  /** The decision by the newest snapshot; `authorized` is the decision at the beginning. */
  decided(): KubeAuthorized;
  /** Calls back after each later decision that still allows the request. */
  onDecided(tell: () => void): void;
  /** Id of the request in the API server's audit log and in ours. */
  readonly auditId: string;
}
