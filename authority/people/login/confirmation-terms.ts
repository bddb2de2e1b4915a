/** What confirmations of sessions and of requests to Kubernetes share. Tested in session-confirmations.test.ts and kube-confirmations.test.ts. */
import type { ConfirmationFacts } from '#schemas/api/people/confirmations.js';

export const MAX_WAITING_PER_USER = 20;
/** How long requests to Kubernetes wait for their confirmation, and how long one counts from then on. */
export const KUBE_CONFIRMATION_MS = 300_000;

/** No node has a slash in its name, and no login of one a colon: an approval for a cluster lets nobody into a node. */
const KUBE = 'kubernetes/';

/** Where rows of confirmations name the node. */
export function kubeNode(cluster: string): string {
  return `${KUBE}${cluster}`;
}

export function placeOf(node: string): Pick<ConfirmationFacts, 'kind' | 'node'> {
  return node.startsWith(KUBE) ? { kind: 'kubernetes', node: node.slice(KUBE.length) } : { kind: 'session', node };
}
