/**
 * Trusted clusters: what one Steno says of itself, and what another keeps of it.
 *
 * A cluster's *statement* is JSON signed with its SSH user CA (OpenSSH PROTOCOL.sshsig, namespace `steno-cluster`), so
 * that a change of its keys can be told to those who trust it by whoever carries the text:
 *
 *     {"statement": "{\"version\":1,\"name\":\"b\",…}", "signatures": ["-----BEGIN SSH SIGNATURE-----…", …]}
 *
 * A new statement counts when one of its signatures is of a key that is trusted already, and its `issued_at` is later.
 * Each side decides alone: `role_map` lets the other's users in, as the roles that it names here; `gateways` lets our
 * users out to the other's nodes, which are called `NODE.CLUSTER`. Tested in cluster.test.ts.
 *
 * Which of its nodes a user may reach a cluster says to a question of the other (namespace `steno-cluster-nodes`), both
 * signed as statements are: {kind: question, from, to, user, roles, time} and {kind: answer, …, nodes}. An answer repeats
 * the question's time, so that it fits no other. Tested in authority/inventory/clusters/far-nodes.test.ts.
 */
import { z } from 'zod';
import { isName, stripDomain } from '../base/identity.js';
import type { UserIdentity } from '../base/identity.js';
import type { NodeRecord } from '../policy/role.js';

export const CLUSTER_NAMESPACE = 'steno-cluster';
/** Label that nodes of other clusters carry, for roles to name. */
export const CLUSTER_LABEL = 'steno/cluster';
/** Between the name of a user and that of their cluster: `ann_at_b`. */
export const REMOTE_USER_MARK = '_at_';
export const MAX_STATEMENT = 64 * 1024;

/** No dot and no underscore: it is the last label of a node's name, and the end of a user's. */
export const clusterName = z
  .string()
  .regex(/^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$/, 'is not the name of a cluster: lower-case letters, digits and dashes');
const name = z.string().max(63).refine(isName, 'is not a name');
const keyLine = z
  .string()
  .min(1)
  .max(4096)
  .regex(/^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}( [^\n\r]{0,255})?$/, 'is not a public key line');
const address = z
  .string()
  .max(300)
  .regex(/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/, 'is not host:port');
const updates = z
  .url({ protocol: /^https?$/ })
  .max(300)
  .nullable();

export const clusterStatement = z.strictObject({
  version: z.literal(1),
  name: clusterName,
  /** ms since 1970. */
  issued_at: z.number().int().positive(),
  ssh_user_ca: z.array(keyLine).min(1).max(8),
  ssh_host_ca: z.array(keyLine).min(1).max(8),
  /** Addresses of its SSH gateways for the other cluster's gateways; the first that answers is used. */
  gateways: z.array(address).max(16),
  /** Address of its newest statement; null if statements are carried by hand. */
  updates,
});
export type ClusterStatement = z.infer<typeof clusterStatement>;

export const signedStatement = z.strictObject({
  statement: z.string().max(MAX_STATEMENT),
  signatures: z.array(z.string().max(8192)).min(1).max(8),
});
export type SignedStatement = z.infer<typeof signedStatement>;

export const NODES_NAMESPACE = 'steno-cluster-nodes';
export const MAX_NODES_STATEMENT = 1 << 20;
/** How far the clocks of two clusters may be apart, ms. */
export const NODES_WINDOW_MS = 300_000;

const about = { version: z.literal(1), from: clusterName, to: clusterName, user: name, time: z.number().int().positive() };
/** `user`, `roles`: as they are called by who asks. */
export const nodesQuestion = z.strictObject({ kind: z.literal('question'), ...about, roles: z.array(name).max(256) });
export type NodesQuestion = z.infer<typeof nodesQuestion>;
export const nodesAnswer = z.strictObject({
  kind: z.literal('answer'),
  ...about,
  nodes: z.array(z.strictObject({ name, state: z.enum(['live', 'gone', 'agentless']) })).max(10_000),
});
export type NodesAnswer = z.infer<typeof nodesAnswer>;
export const signedNodes = signedStatement.extend({ statement: z.string().max(MAX_NODES_STATEMENT) });

/** Their role → our roles. */
export const roleMap = z
  .record(name, z.array(name).min(1).max(64))
  .refine((map) => Object.keys(map).length <= 256, 'has more than 256 roles');

export const trustedCluster = clusterStatement
  .extend({
    /** Empty: their users do not come in. */
    role_map: z.record(z.string(), z.array(z.string()).readonly()).readonly(),
    /** Whether our users may go there. */
    reach: z.boolean(),
  })
  .readonly();
export type TrustedCluster = z.output<typeof trustedCluster>;

/** Null unless the text is a statement, exactly. Whoever signed it is for the caller to say. */
export function parseStatement(text: string): ClusterStatement | null {
  try {
    const parsed = clusterStatement.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** A user of another cluster as one of ours: other name, mapped roles, and nothing else of what the other side says. Null when no role is mapped. */
export function importedIdentity(identity: UserIdentity, cluster: TrustedCluster): UserIdentity | null {
  const roles = [
    ...new Set(identity.roles.flatMap((role) => (Object.hasOwn(cluster.role_map, role) ? cluster.role_map[role]! : []))),
  ].sort();
  const user = `${identity.user}${REMOTE_USER_MARK}${cluster.name}`;
  // Traits fill templates of our roles in: what the other side writes there would decide here.
  return roles.length === 0 || !isName(user)
    ? null
    : { ...identity, user, roles, traits: {}, mfa: null, requests: [], cluster: cluster.name };
}

export interface RemoteNode {
  readonly cluster: TrustedCluster;
  /** Its name there. */
  readonly inner: string;
  /** The node as our roles see it. `address` is that of the first gateway. */
  readonly node: NodeRecord;
}

/** `web-1.b` is `web-1` of the cluster `b`, if that is one that our users may go to. */
export function remoteNode(clusters: readonly TrustedCluster[], wanted: string): RemoteNode | undefined {
  const full = stripDomain(wanted);
  const dot = full.lastIndexOf('.');
  const [inner, suffix] = [full.slice(0, Math.max(dot, 0)), full.slice(dot + 1)];
  const cluster = clusters.find((known) => known.name === suffix && known.reach && known.gateways.length > 0);
  if (cluster === undefined || !isName(full) || !isName(inner)) return undefined;
  return {
    cluster,
    inner,
    node: {
      name: full,
      kind: 'openssh',
      address: cluster.gateways[0]!,
      labels: { [CLUSTER_LABEL]: cluster.name },
      host_keys: [],
      last_seen_at: null,
    },
  };
}
