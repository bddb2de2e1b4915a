/** Endpoints about nodes and trusted clusters. */
import { clusterEndpoints } from './clusters.js';
import { joinTokenEndpoints } from './join-tokens.js';
import { kubeClusterEndpoints } from './kube-clusters.js';
import { liveSessionEndpoints } from './live-sessions.js';
import { nodeEndpoints } from './nodes.js';

export const inventoryEndpoints = [
  ...clusterEndpoints,
  ...joinTokenEndpoints,
  ...kubeClusterEndpoints,
  ...liveSessionEndpoints,
  ...nodeEndpoints,
] as const;
