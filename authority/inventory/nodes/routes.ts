/**
 * Routes of nodes: tokens for administrators, joining and presence for gateways, the live list for everybody, and where a live
 * session is for gateways and viewers.
 *
 * A user sees the nodes that a role lets them reach, and no others; `access:read` lets reviewers see another's list.
 * Tested in nodes.test.ts.
 */
import { z } from 'zod';
import type { NodeStatus } from '#schemas/api.js';
import { createJoinToken, deleteJoinToken, listJoinTokens } from '#schemas/api/join-tokens.js';
import { getLiveSession, heldSessions } from '#schemas/api/live-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName, isName, parseServiceName } from '#schemas/base/identity.js';
import { gatewayAddress, signedJoin, signedNodeRequest } from '#schemas/join.js';
import type { SignedTrust } from '#schemas/join.js';
import { reachableNodes } from '#schemas/policy/node.js';
import type { Subject } from '#schemas/policy/subject.js';
import { rolesNamed } from '#runtime/http/request-auth.js';
import type { Ca } from '../../ca/ca.js';
import { handle, noBody, route } from '../../http/server.js';
import type { Context, Route } from '../../http/server.js';
import { Joining, claimedNode } from './joining.js';
import type { JoiningParts } from './joining.js';
import type { PowerGuard } from '../../power/guard.js';
import type { Presence } from './presence.js';
import { Tokens } from './tokens.js';

export interface NodeRouteParts extends JoiningParts {
  readonly ca: Ca;
  readonly presence: Presence;
  readonly guard: PowerGuard;
  /** What nodes may believe, signed by this authority. */
  readonly signedTrust: () => Promise<SignedTrust>;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');
const names = z.array(name).max(10_000);
const heldBody = z.strictObject({
  epoch: z.string().regex(/^[0-9a-f]{16}$/),
  address: z.union([z.literal(''), gatewayAddress]),
  all: names.optional(),
  up: names,
  down: names,
  // Gateways of before say nothing of sessions.
  ingest: z.string().max(80).refine(isIngest, 'is not an ingest').optional(),
  sessions: heldSessions.optional(),
});

function isIngest(text: string): boolean {
  return text === '' || parseServiceName(text)?.kind === 'ingest';
}

export function nodeRoutes(parts: NodeRouteParts): readonly Route[] {
  const { ca, records, directory, presence, guard, clock } = parts;
  const tokens = new Tokens(records, presence, () => ca.trust.service_ca.join(''), guard, clock);
  const joining = new Joining(parts);
  return [
    handle(listJoinTokens, () => tokens.list()),
    handle(createJoinToken, async (c) => tokens.create(await guard.author(c), c.body)),
    handle(deleteJoinToken, ({ caller }, { id }) => tokens.remove(caller, id)),

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

    handle(getLiveSession, (_, { session }) => presence.session(session)),

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
