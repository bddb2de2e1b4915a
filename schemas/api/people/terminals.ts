/**
 * Terminals in the page: the nodes a web session may open one on, and the certificate for the key that the browser made.
 * The SSH bytes themselves go over `GET /api/terminal` of viewers (schemas/api/front/terminal.ts). Decision 0129.
 */
import { z } from 'zod';
import { endpoint, noBody, noParams, relayedSignedIn, signingErrors } from '../../endpoint/endpoint.js';
import { keyLine, list, login, moment, name, record, textMap, texts } from '../../endpoint/fields.js';

const terminalNode = record({
  name: z.string(),
  kind: z.enum(['openssh', 'agent']),
  labels: textMap,
  /** As in `nodeStatus`. */
  state: z.enum(['live', 'gone', 'agentless']),
  /** Logins that the user's roles allow on this node, sorted; `*` for any but root. */
  logins: texts,
});
export type TerminalNode = z.output<typeof terminalNode>;

export const listTerminalNodes = endpoint({
  method: 'GET',
  path: '/v1/terminal/nodes',
  summary: 'List the nodes on which the user of the web session may open a terminal.',
  admits: ['viewer'],
  relayed: relayedSignedIn,
  event: 'terminal.nodes',
  params: noParams,
  body: noBody,
  answer: list(terminalNode),
  errors: [],
});

const terminalCertificate = record({
  user: z.string(),
  /** One public key line: a user certificate for this login only, valid only from the browser's address. */
  certificate: z.string(),
  valid_before: moment,
  /** The principal in every gateway's host certificate (`gatewayPrincipal`), and the public key lines of the CA that signs them. */
  gateway_principal: z.string(),
  ssh_host_ca: texts,
});
export type TerminalCertificate = z.output<typeof terminalCertificate>;

export const certifyTerminal = endpoint({
  method: 'POST',
  path: '/v1/terminal/certificate',
  summary: 'Get a short-lived user certificate for a terminal in the page, for one login on one node.',
  admits: ['viewer'],
  relayed: { session: true, limited: true },
  event: 'terminal.certify',
  params: noParams,
  body: z.strictObject({ public_key: keyLine.max(1024), node: name, login }),
  answer: terminalCertificate,
  errors: ['NODE_UNKNOWN', 'LOGIN_TOO_OLD', ...signingErrors],
});

export const terminalEndpoints = [listTerminalNodes, certifyTerminal] as const;
