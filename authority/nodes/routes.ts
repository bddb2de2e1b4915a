/**
 * Routes of nodes: tokens for administrators, joining and presence for gateways, the live list for everybody.
 *
 * A user sees the nodes that a role lets them reach, and no others; `access:read` lets reviewers see another's list.
 * Tested in nodes.test.ts.
 */
import { z } from 'zod';
import type { NodeStatus } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import { formatServiceName, isName } from '#schemas/identity.js';
import { gatewayAddress, labelPattern, nodeLabels, signedJoin, signedNodeRequest, tokenId } from '#schemas/join.js';
import type { SignedTrust } from '#schemas/join.js';
import { reachableNodes } from '#schemas/policy/node.js';
import type { Subject } from '#schemas/policy/subject.js';
import { rolesNamed } from '#runtime/request-auth.js';
import type { Ca } from '../ca/ca.js';
import { noBody, route } from '../http.js';
import type { Context, Route } from '../http.js';
import { Joining, claimedNode } from './joining.js';
import type { JoiningParts } from './joining.js';
import type { Presence } from './presence.js';
import { Tokens } from './tokens.js';

export interface NodeRouteParts extends JoiningParts {
  readonly ca: Ca;
  readonly presence: Presence;
  /** What nodes may believe, signed by this authority. */
  readonly signedTrust: () => Promise<SignedTrust>;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');
const names = z.array(name).max(10_000);
const tokenBody = z.strictObject({
  ttl_ms: z
    .number()
    .int()
    .min(10_000)
    .max(7 * 86_400_000),
  uses: z.number().int().min(1).max(10_000),
  labels: nodeLabels,
  node_labels: z.array(labelPattern).max(64),
});
const heldBody = z.strictObject({
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  address: z.union([z.literal(''), gatewayAddress]),
  all: names.optional(),
  up: names,
  down: names,
});

export function nodeRoutes(parts: NodeRouteParts): readonly Route[] {
  const { ca, records, directory, presence, clock } = parts;
  const tokens = new Tokens(records, presence, () => ca.trust.service_ca.join(''), clock);
  const joining = new Joining(parts);
  return [
    route('GET /v1/tokens', ['token:list'], 'token.list', noBody, () => tokens.list()),
    route('POST /v1/tokens', ['token:create'], 'token.create', tokenBody, ({ caller, body }) => tokens.create(caller, body)),
    route('DELETE /v1/tokens/:id', ['token:delete'], 'token.delete', noBody, ({ caller, params }) => {
      if (!tokenId.safeParse(params['id']).success) throw new StenoError('BAD_REQUEST', 'id: is not the id of a token');
      return tokens.remove(caller, params['id']!);
    }),

    route('POST /v1/nodes/challenge', ['gateway'], 'node.challenge', z.union([noBody, z.strictObject({})]), () => joining.challenge()),
    route(
      'POST /v1/nodes/join',
      ['gateway'],
      'node.join',
      z.strictObject({ signed: signedJoin, source: z.string().max(64) }),
      ({ caller, body }) => joining.join(caller, body.signed, body.source),
    ),
    route(
      'POST /v1/nodes/signed',
      ['gateway'],
      'node.request',
      signedNodeRequest,
      ({ caller, body }) => joining.signed(caller, body),
      ({ request }) => claimedNode(request),
    ),
    route('GET /v1/nodes/trust', ['gateway'], 'node.trust', noBody, () => parts.signedTrust()),
    route('PUT /v1/nodes/held', ['gateway'], 'node.held', heldBody, async ({ principal, body }) => {
      if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
      return {
        known: await presence.report({ holder: formatServiceName(principal.service), ...body }),
        gateways: await presence.gateways(),
      };
    }),

    route('GET /v1/nodes', ['user', 'gateway', 'viewer'], 'node.list', noBody, ({ principal }) => listed(parts, subjectOf(principal))),
    route('GET /v1/users/:name/nodes', ['access:read'], 'node.list_as', noBody, async ({ params }) => {
      const user = params['name'] ?? '';
      const record = isName(user) ? await records.user(user) : undefined;
      if (record === undefined) throw new StenoError('NOT_FOUND', `user ${user}`);
      if (record.disabled) return [];
      const { traits } = record as { readonly traits?: Subject['traits'] };
      return listed(parts, { user, traits: traits ?? {}, roles: rolesNamed(record.roles, directory.current().roles) });
    }),
  ];
}

/** Null: a service, which sees all. */
function subjectOf(principal: Context<unknown>['principal']): Subject | null {
  if (principal.kind !== 'user') return null;
  const { identity, roles } = principal;
  return { user: identity.user, traits: identity.traits, roles };
}

async function listed(
  { directory, presence, clock }: Pick<NodeRouteParts, 'directory' | 'presence' | 'clock'>,
  subject: Subject | null,
): Promise<readonly NodeStatus[]> {
  const { nodes } = directory.current();
  const seen = subject === null ? nodes : reachableNodes(subject, nodes);
  const live = await presence.live();
  const last = await presence.lastSeen(seen.flatMap(({ name: node }) => (live.has(node) ? [] : [node])));
  return seen.map((node) => {
    const since = live.get(node.name);
    // Nobody holds a connection to a server without agent: whether it is there shows when it is dialled.
    const state = node.kind === 'openssh' ? 'agentless' : since === undefined ? 'gone' : 'live';
    return { ...node, last_seen_at: since === undefined ? (last.get(node.name) ?? null) : clock(), state, since: since ?? null };
  });
}
