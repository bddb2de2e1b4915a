/** Endpoints for other clusters. They need no identity here, because their messages are signed. */
import { signedNodes, signedStatement } from '../../documents/cluster.js';
import { anyQuery, noBody, noParams, viewerEndpoint } from '../../endpoint/endpoint.js';
import { answerClusterNodes, showClusterStatement } from '../inventory/clusters.js';

export const showCluster = viewerEndpoint({
  method: 'GET',
  path: '/cluster',
  summary: 'Show the newest statement of this cluster, for clusters that trust it: public keys and addresses, signed.',
  admits: ['stranger'],
  params: noParams,
  query: anyQuery,
  body: noBody,
  answer: signedStatement,
  errors: [...showClusterStatement.errors, 'TOO_MANY'],
});

export const askClusterNodes = viewerEndpoint({
  method: 'POST',
  path: '/cluster/nodes',
  summary: "Answer another cluster's signed question about one of its users.",
  admits: ['stranger'],
  params: noParams,
  query: anyQuery,
  body: signedStatement,
  answer: signedNodes,
  errors: [...answerClusterNodes.errors, 'TOO_MANY'],
});

export const clusterFrontEndpoints = [showCluster, askClusterNodes] as const;
