/**
 * Definitions common to confirmations of sessions and of requests to Kubernetes. Tested in session-confirmations.test.ts and
 * kube-confirmations.test.ts.
 */
import type { ConfirmationFacts } from '#schemas/api/people/confirmations.js';

export const MAX_WAITING_PER_USER = 20;
/** How long a request to Kubernetes waits for its confirmation, and how long a confirmation is valid from then on. */
export const KUBE_CONFIRMATION_MS = 300_000;

/** A node's name contains no slash, and a login on a node no colon: an approval for a cluster admits nobody to a node. */
const KUBE = 'kubernetes/';

/** The value in the node column of confirmations. */
export function kubeNode(cluster: string): string {
  return `${KUBE}${cluster}`;
}

export function placeOf(node: string): Pick<ConfirmationFacts, 'kind' | 'node'> {
  return node.startsWith(KUBE) ? { kind: 'kubernetes', node: node.slice(KUBE.length) } : { kind: 'session', node };
}
