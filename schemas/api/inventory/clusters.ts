/** Trusted clusters: `steno clusters`. */
import { z } from 'zod';
import { clusterName, clusterStatement, roleMap, signedNodes, signedStatement, trustedCluster } from '../../documents/cluster.js';
import { endpoint, noAnswer, noBody, noParams, signingErrors } from '../../endpoint/endpoint.js';
import { list, record, textMap } from '../../endpoint/fields.js';

/** Another cluster's report about its nodes. */
const clusterNodes = record({
  cluster: z.string(),
  /** Names used here: `NODE.CLUSTER`. */
  nodes: list(record({ name: z.string(), state: z.enum(['live', 'gone', 'agentless']), labels: textMap })),
  /** Why it could not be asked; null if it could. */
  unreachable: z.string().nullable(),
});
export type ClusterNodes = z.output<typeof clusterNodes>;

const params = z.strictObject({ name: clusterName });
const statementErrors = ['CLUSTER_UNTRUSTED', 'CLUSTER_STALE', 'SIGNATURE_GARBLED', ...signingErrors] as const;

export const listClusterNodes = endpoint({
  method: 'GET',
  path: '/v1/cluster-nodes',
  summary: 'List the nodes of trusted clusters that the caller may reach.',
  admits: ['user'],
  event: 'cluster.nodes',
  params: noParams,
  body: noBody,
  answer: list(clusterNodes),
  errors: [],
});

export const answerClusterNodes = endpoint({
  method: 'POST',
  path: '/v1/cluster-nodes',
  summary: "Answer another cluster's signed question, which a viewer relays.",
  admits: ['viewer'],
  event: 'cluster.nodes',
  params: noParams,
  body: signedStatement,
  answer: signedNodes,
  errors: ['REQUEST_REPLAYED', ...statementErrors],
});

export const listClusters = endpoint({
  method: 'GET',
  path: '/v1/clusters',
  summary: 'List trusted clusters.',
  admits: ['cluster:list'],
  event: 'cluster.list',
  params: noParams,
  body: noBody,
  answer: list(trustedCluster),
  errors: [],
});

export const exportCluster = endpoint({
  method: 'POST',
  path: '/v1/cluster-statement',
  summary: 'Set the addresses of our gateways, and sign them for other clusters.',
  admits: ['cluster:update'],
  event: 'cluster.export',
  params: noParams,
  body: clusterStatement.pick({ gateways: true, updates: true }),
  answer: signedStatement,
  errors: ['NODE_NAME_RESERVED', 'GATEWAY_NAME_TAKEN', ...signingErrors],
});

export const showClusterStatement = endpoint({
  method: 'GET',
  path: '/v1/cluster-statement',
  summary: 'Show our newest statement, signed.',
  admits: ['viewer'],
  event: 'cluster.statement',
  params: noParams,
  body: noBody,
  answer: signedStatement,
  errors: ['NOT_FOUND', ...signingErrors],
});

export const trustCluster = endpoint({
  method: 'PUT',
  path: '/v1/clusters/:name',
  summary: 'Trust a cluster by its statement.',
  admits: ['administer'],
  event: 'cluster.trust',
  params,
  body: z.strictObject({ signed: signedStatement, role_map: roleMap, reach: z.boolean() }),
  answer: trustedCluster,
  errors: statementErrors,
});

export const refreshCluster = endpoint({
  method: 'POST',
  path: '/v1/clusters/:name/refresh',
  summary: "Take a cluster's newest statement from where it says it is.",
  admits: ['cluster:update'],
  event: 'cluster.update',
  params,
  body: noBody,
  answer: record({ cluster: trustedCluster, changed: z.boolean() }),
  errors: ['NOT_FOUND', 'NOT_RUNNING', ...statementErrors],
});

export const untrustCluster = endpoint({
  method: 'DELETE',
  path: '/v1/clusters/:name',
  summary: 'Stop trusting a cluster.',
  admits: ['cluster:delete'],
  event: 'cluster.untrust',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const clusterEndpoints = [
  listClusterNodes,
  answerClusterNodes,
  listClusters,
  exportCluster,
  showClusterStatement,
  trustCluster,
  refreshCluster,
  untrustCluster,
] as const;
