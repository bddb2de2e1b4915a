/** Nodes: `steno nodes`, requests that gateways relay for joining machines, and agents' reports about their own node. */
import { z } from 'zod';
import { parseServiceName } from '../../base/identity.js';
import { isHostName } from '../../base/host-name.js';
import { parseDialAddress } from '../../base/host-port.js';
import { emptyBody, endpoint, noAnswer, noBody, noParams, signingErrors } from '../../endpoint/endpoint.js';
import { labels, list, moment, name, record, textMap, texts } from '../../endpoint/fields.js';
import { gatewayAddress, signedJoin, signedNodeRequest, signedTrust } from '../../join.js';
import { parseAuthorizedLine, parsePublicKey } from '../../ssh/public-key.js';
import { heldSessions } from './live-sessions.js';
import { enrolment } from '../services/certificates.js';

const address = z.string().max(300).refine(isAddress, 'is not host:port');
const hostKeys = z.array(z.string().max(4096).refine(isPlainKey, 'is not `type base64` of a public key')).max(16);
const kind = z.enum(['openssh', 'agent']);

const node = {
  name: z.string(),
  kind,
  address: z.string(),
  labels: textMap,
  host_keys: texts,
  last_seen_at: moment.nullable(),
  tunnel_key: z.string().exactOptional(),
  node_principals: z.boolean().exactOptional(),
  owner_logins: texts.exactOptional(),
};
/** `NodeRecord` of policy/role.ts. */
const nodeRecord = record(node);

/** `agentless`: nobody holds a connection to the node. `since`: start of the state `live`. */
export const nodeStatus = record({ ...node, state: z.enum(['live', 'gone', 'agentless']), since: moment.nullable() });
export type NodeStatus = z.output<typeof nodeStatus>;

export const listNodes = endpoint({
  method: 'GET',
  path: '/v1/nodes',
  summary: 'List the nodes that the caller may reach.',
  admits: ['user', 'gateway', 'viewer'],
  event: 'node.list',
  params: noParams,
  body: noBody,
  answer: list(nodeStatus),
  errors: [],
});

export const listNodesOf = endpoint({
  method: 'GET',
  path: '/v1/users/:name/nodes',
  summary: 'List the nodes that a user may reach.',
  admits: ['access:read'],
  event: 'node.list_as',
  params: z.strictObject({ name: z.string() }),
  body: noBody,
  answer: list(nodeStatus),
  errors: ['NOT_FOUND'],
});

export const putNode = endpoint({
  method: 'PUT',
  path: '/v1/nodes/:name',
  summary: 'Register a node, or change its record.',
  admits: ['node:create', 'node:update'],
  event: 'node.put',
  params: z.strictObject({ name }),
  body: z.strictObject({
    name,
    kind,
    address,
    labels,
    host_keys: hostKeys,
    last_seen_at: z.number().int().nullable().optional(),
    node_principals: z.boolean().optional(),
  }),
  answer: nodeRecord,
  errors: ['NODE_NAME_RESERVED', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const deleteNode = endpoint({
  method: 'DELETE',
  path: '/v1/nodes/:name',
  summary: 'Remove a node.',
  admits: ['node:delete'],
  event: 'node.delete',
  params: z.strictObject({ name }),
  body: noBody,
  answer: noAnswer,
  errors: ['NODE_UNKNOWN', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const registerOwnNode = endpoint({
  method: 'PUT',
  path: '/v1/nodes/self',
  summary: "Say where the calling agent's own node is.",
  admits: ['agent'],
  event: 'node.register',
  params: noParams,
  body: z.strictObject({
    address,
    labels,
    host_keys: hostKeys,
    /** The node accepts session certificates for `LOGIN@NODE`, and needs no others. */
    node_principals: z.boolean().default(false),
  }),
  answer: nodeRecord,
  errors: [],
});
export type NodeRegistration = z.input<typeof registerOwnNode.body>;

export const challengeJoin = endpoint({
  method: 'POST',
  path: '/v1/nodes/challenge',
  summary: 'Get a nonce for a joining machine.',
  admits: ['gateway'],
  event: 'node.challenge',
  params: noParams,
  body: emptyBody,
  answer: record({ nonce: z.string(), expires_at: moment }),
  errors: ['TOO_MANY'],
});

const joinResult = z.discriminatedUnion('kind', [
  record({ kind: z.literal('joined'), enrolment, labels: textMap }),
  record({ kind: z.literal('refused'), code: z.string(), detail: z.string() }),
]);
export type JoinResult = z.output<typeof joinResult>;

export const joinNode = endpoint({
  method: 'POST',
  path: '/v1/nodes/join',
  summary: "Carry a machine's signed request to join; a refusal is an answer.",
  admits: ['gateway'],
  event: 'node.join',
  params: noParams,
  body: z.strictObject({
    signed: signedJoin,
    /** The machine's address as seen by the gateway. */
    source: z.string().max(64),
  }),
  answer: joinResult,
  errors: [],
});

export const carryNodeRequest = endpoint({
  method: 'POST',
  path: '/v1/nodes/signed',
  summary: "Carry a node's signed renewal or report.",
  admits: ['gateway'],
  event: 'node.request',
  params: noParams,
  body: signedNodeRequest,
  answer: z.union([enrolment, record({ refused_labels: texts })]),
  errors: ['NODE_UNKNOWN', 'CERT_BAD_SIGNATURE', 'REQUEST_REPLAYED', 'NODE_NAME_RESERVED', 'GATEWAY_NAME_TAKEN', ...signingErrors],
});

export const showNodeTrust = endpoint({
  method: 'GET',
  path: '/v1/nodes/trust',
  summary: 'Get the trust list for nodes, signed by this authority.',
  admits: ['gateway'],
  event: 'node.trust',
  params: noParams,
  body: noBody,
  answer: signedTrust,
  errors: ['NOT_RUNNING'],
});

const names = z.array(name).max(10_000);

export const reportHeldNodes = endpoint({
  method: 'PUT',
  path: '/v1/nodes/held',
  summary: 'Report the nodes with a tunnel to the calling gateway, and its live sessions.',
  admits: ['gateway'],
  event: 'node.held',
  params: noParams,
  body: z.strictObject({
    epoch: z.string().regex(/^[0-9a-f]{16}$/),
    address: z.union([z.literal(''), gatewayAddress]),
    all: names.optional(),
    up: names,
    down: names,
    // Older gateways do not report sessions.
    ingest: z.string().max(80).refine(isIngest, 'is not an ingest').optional(),
    sessions: heldSessions.optional(),
  }),
  /** `known` false: the authority needs the full list. `gateways`: addresses at which agents reach the connected gateways. */
  answer: record({ known: z.boolean(), gateways: texts }),
  errors: [],
});

/** Agents connect their tunnels, and viewers the terminals of browsers, to the same port. */
export const listGateways = endpoint({
  method: 'GET',
  path: '/v1/gateways',
  summary: 'List the addresses at which services reach the connected gateways.',
  admits: ['viewer'],
  event: 'gateway.list',
  params: noParams,
  body: noBody,
  answer: record({ gateways: texts }),
  errors: [],
});

export const nodeEndpoints = [
  challengeJoin,
  joinNode,
  carryNodeRequest,
  showNodeTrust,
  reportHeldNodes,
  listGateways,
  listNodes,
  listNodesOf,
  registerOwnNode,
  putNode,
  deleteNode,
] as const;

/** Refuses hosts that a program could read as an option. */
function isAddress(text: string): boolean {
  const address = parseDialAddress(text);
  return address !== undefined && isHostName(address.host);
}

function isIngest(text: string): boolean {
  return text === '' || parseServiceName(text)?.kind === 'ingest';
}

function isPlainKey(text: string): boolean {
  try {
    const { blob, comment } = parseAuthorizedLine(text);
    parsePublicKey(blob);
    return comment === '';
  } catch {
    return false;
  }
}
