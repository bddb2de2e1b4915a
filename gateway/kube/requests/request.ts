/** A request to a Kubernetes API: as it was understood, and once it was let in. */
import type { KubeTarget } from '#schemas/kube/request-line.js';
import type { Access } from '../../sessions/access.js';
import type { KubeAuthorized } from './authorization.js';

/** What a request asks for, and of whom. */
export interface Understood {
  readonly cluster: string;
  readonly target: KubeTarget;
}

/** What was let in, with its access registered. */
export interface Entered extends Understood {
  readonly authorized: KubeAuthorized;
  readonly access: Access;
  /** The decision by the newest snapshot; `authorized` is that of the beginning. */
  decided(): KubeAuthorized;
  /** Calls back after each later decision that still allows the request. */
  onDecided(tell: () => void): void;
  /** In the API server's audit log and in ours. */
  readonly auditId: string;
}
