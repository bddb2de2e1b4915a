/**
 * Trusted clusters: a Steno's statement about itself, and the record that another Steno keeps of it.
 *
 * A cluster's *statement* is JSON signed with its SSH user CA (OpenSSH PROTOCOL.sshsig, namespace `steno-cluster`), so
 * that anybody may carry the text that announces a change of its keys to the clusters that trust it:
 *
 *     {"statement": "{\"version\":1,\"name\":\"b\",…}", "signatures": ["-----BEGIN SSH SIGNATURE-----…", …]}
 *
 * A new statement is accepted if one of its signatures is by a key that is already trusted, and its `issued_at` is later.
 * Each side decides alone: `role_map` admits the other's users with the local roles that it names; `gateways` lets our
 * users reach the other's nodes, which are named `NODE.CLUSTER`. Tested in cluster.test.ts.
 *
 * A cluster tells another which nodes a user may reach in answer to a question (namespace `steno-cluster-nodes`); both are
 * signed like statements: {kind: question, from, to, user, roles, time} and {kind: answer, …, nodes}. An answer repeats the
 * question's time, so that it fits no other question. Tested in authority/inventory/clusters/far-nodes.test.ts.
 */
import { z } from 'zod';
import { isName, stripDomain } from '../base/identity.js';
import type { UserIdentity } from '../base/identity.js';
import type { NodeRecord } from '../policy/role.js';

export const CLUSTER_NAMESPACE = 'steno-cluster';
/** Label of nodes of other clusters, for use in roles. */
export const CLUSTER_LABEL = 'steno/cluster';
/** Separates the name of a user from that of their cluster: `ann_at_b`. */
export const REMOTE_USER_MARK = '_at_';
export const MAX_STATEMENT = 64 * 1024;

/** No dot and no underscore, because it is the last label of a node's name and the end of a user's name. */
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
/** Largest difference between the clocks of two clusters, in ms. */
export const NODES_WINDOW_MS = 300_000;

const about = { version: z.literal(1), from: clusterName, to: clusterName, user: name, time: z.number().int().positive() };
/** `user`, `roles`: by their names in the asking cluster. */
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
    /** Empty: their users are not admitted. */
    role_map: z.record(z.string(), z.array(z.string()).readonly()).readonly(),
    /** Whether our users may reach the cluster. */
    reach: z.boolean(),
  })
  .readonly();
export type TrustedCluster = z.output<typeof trustedCluster>;

/** Null unless the text is exactly a statement. The caller checks the signature. */
export function parseStatement(text: string): ClusterStatement | null {
  try {
    const parsed = clusterStatement.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** A user of another cluster as a local one: a separate name, mapped roles, and nothing else from the other side. Null if no role is mapped. */
export function importedIdentity(identity: UserIdentity, cluster: TrustedCluster): UserIdentity | null {
  const roles = [
    ...new Set(identity.roles.flatMap((role) => (Object.hasOwn(cluster.role_map, role) ? cluster.role_map[role]! : []))),
  ].sort();
  const user = `${identity.user}${REMOTE_USER_MARK}${cluster.name}`;
  // No traits: they fill templates in our roles, so the other side could decide about access here.
  return roles.length === 0 || !isName(user)
    ? null
    : { ...identity, user, roles, traits: {}, mfa: null, requests: [], cluster: cluster.name };
}

export interface RemoteNode {
  readonly cluster: TrustedCluster;
  /** The node's name in its own cluster. */
  readonly inner: string;
  /** The node as our roles see it. `address`: the other cluster's first gateway. */
  readonly node: NodeRecord;
}

/** `web-1.b` is `web-1` of the cluster `b`, if our users may reach that cluster. */
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
