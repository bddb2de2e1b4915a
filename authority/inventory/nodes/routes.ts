/**
 * Routes of nodes: records and tokens for administrators, joining and presence for gateways, the live list for everybody, and the
 * holder of a live session for gateways and viewers.
 *
 * A user sees only the nodes that a role lets them reach; `access:read` lets reviewers see another user's list. Tested in
 * nodes.test.ts.
 */
import { createJoinToken, deleteJoinToken, listJoinTokens } from '#schemas/api/inventory/join-tokens.js';
import {
  carryNodeRequest,
  challengeJoin,
  deleteNode,
  joinNode,
  listGateways,
  listNodes,
  listNodesOf,
  putNode,
  registerOwnNode,
  reportHeldNodes,
  showNodeTrust,
} from '#schemas/api/inventory/nodes.js';
import type { NodeStatus } from '#schemas/api/inventory/nodes.js';
import { readLiveSessions, showLiveSession } from '#schemas/api/inventory/live-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName, isName } from '#schemas/base/identity.js';
import type { SignedTrust } from '#schemas/join.js';
import { reachableNodes } from '#schemas/policy/node.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { Subject } from '#schemas/policy/subject.js';
import { rolesNamed } from '#runtime/http/request-auth.js';
import type { Ca } from '../../ca/ca.js';
import { handle, serviceOf } from '../../http/server.js';
import type { Context, Route } from '../../http/server.js';
import { Joining, claimedNode } from './joining.js';
import type { JoiningParts } from './joining.js';
import { auditRow } from '../../records/audit.js';
import type { PowerGuard } from '../../power/guard.js';
import type { Presence } from './presence.js';
import { putNode as writeNode } from './records.js';
import { NodeRegistry } from './registry.js';
import { Tokens } from './tokens.js';

export interface NodeRouteParts extends JoiningParts {
  readonly ca: Ca;
  readonly presence: Presence;
  readonly guard: PowerGuard;
  /** The trust list for nodes, signed by this authority. */
  readonly signedTrust: () => Promise<SignedTrust>;
}

export function nodeRoutes(parts: NodeRouteParts): readonly Route[] {
  const { ca, records, directory, presence, guard, clock } = parts;
  const tokens = new Tokens(records, presence, () => ca.trust.service_ca.join(''), guard, clock);
  const joining = new Joining(parts);
  const registry = new NodeRegistry(parts);
  return [
    handle(listJoinTokens, () => tokens.list()),
    handle(createJoinToken, async (c) => tokens.create(await guard.author(c), c.body)),
    handle(deleteJoinToken, ({ caller }, { id }) => tokens.remove(caller, id)),

    handle(challengeJoin, () => joining.challenge()),
    handle(joinNode, ({ caller, body }) => joining.join(caller, body.signed, body.source)),
    handle(
      carryNodeRequest,
      ({ caller, body }) => joining.signed(caller, body),
      ({ request }) => claimedNode(request),
    ),
    handle(showNodeTrust, () => parts.signedTrust()),
    handle(reportHeldNodes, async ({ principal, body }) => {
      const known = await presence.report({ holder: formatServiceName(serviceOf(principal)), ...body });
      const ended = new Set(body.sessions?.down ?? []);
      // Invitations end with their session.
      if (ended.size > 0 && directory.current().invitations.some(({ session }) => ended.has(session))) await directory.changed();
      return { known, gateways: await presence.gateways() };
    }),

    handle(listGateways, async () => ({ gateways: await presence.gateways() })),
    handle(showLiveSession, (_, { session }) => presence.session(session)),
    handle(readLiveSessions, ({ body }) => presence.details(body.sessions)),
    handle(listNodes, ({ principal }) => listed(parts, subjectOf(principal))),
    handle(listNodesOf, async (_, { name: user }) => {
      const record = isName(user) ? await records.user(user) : undefined;
      if (record === undefined) throw new StenoError('NOT_FOUND', `user ${user}`);
      if (record.disabled) return [];
      const { traits } = record as { readonly traits?: Subject['traits'] };
      return listed(parts, { user, traits: traits ?? {}, roles: rolesNamed(record.roles, directory.current().roles) });
    }),

    handle(registerOwnNode, async ({ principal, caller, body }) => {
      const { name } = serviceOf(principal);
      // Labels decide access: a node that joined by token reports its permitted labels over its tunnel.
      if (directory.node(name)?.tunnel_key !== undefined) throw new StenoError('ACCESS_DENIED', 'this node joined by token');
      const node: NodeRecord = { name, kind: 'agent', ...body, last_seen_at: clock() };
      await records.act(
        [auditRow(clock(), caller, { event: 'node.register', target: node.name, node: node.name, data: { address: node.address } })],
        (tx) => writeNode(tx, node, clock()),
      );
      await directory.changed();
      return node;
    }),
    handle(putNode, async (c, { name }) => {
      if (name !== c.body.name) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      const { last_seen_at: _, ...wish } = c.body;
      return registry.put(wish, await guard.author(c));
    }),
    handle(deleteNode, async (c, { name }) => registry.remove(name, await guard.author(c))),
  ];
}

/** Null: a service, which sees all nodes. */
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
    // Nobody holds a connection to a server without agent, so its presence is unknown until it is dialled.
    const state = node.kind === 'openssh' ? 'agentless' : since === undefined ? 'gone' : 'live';
    return { ...node, last_seen_at: since === undefined ? (last.get(node.name) ?? null) : clock(), state, since: since ?? null };
  });
}
