/**
 * Roles: what the authority's YAML documents say, and the one pure function that decides by them.
 *
 * Deny wins over allow; what nothing allows is denied. `decide` is called for every session, on the gateway, with the
 * roles of the certificate. Tested as a table in role.test.ts.
 */
import { z } from 'zod';
import type { RecordingMode } from './recording/line.js';

const name = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/);
/** A login name of a node; `{user}` is the user's own name; `*` is any, but root where it allows, root too where it denies. */
const login = z.string().regex(/^(\*|\{user\}|[a-z_][a-z0-9_.-]{0,31})$/);
const labels = z.record(z.string().max(63), z.string().max(255));

const rules = z.strictObject({
  /** Labels a node must carry, all of them; `*: '*'` is every node. A value `*` is any value. */
  nodes: labels.default({}),
  logins: z.array(login).max(256).default([]),
});

export const roleSchema = z.strictObject({
  kind: z.literal('role'),
  name,
  /** How long certificates of this role live, in seconds: one minute to 30 hours. */
  max_ttl: z.number().int().min(60).max(108_000).default(43_200),
  allow: rules.default({ nodes: {}, logins: [] }),
  deny: rules.default({ nodes: {}, logins: [] }),
  port_forwarding: z.boolean().default(true),
  agent_forwarding: z.boolean().default(true),
  recording: z
    .strictObject({
      mode: z.enum(['strict', 'best_effort']).default('strict'),
      streams: z.enum(['limited', 'full']).default('limited'),
      /** Bytes kept per direction of a stream without a terminal. */
      limit: z.number().int().min(0).max(1 << 30).default(1 << 20),
    })
    .default({ mode: 'strict', streams: 'limited', limit: 1 << 20 }),
  /** Whose sessions may be listed, replayed, searched and exported: `all`, `own` or `none`. */
  view: z.enum(['all', 'own', 'none']).default('own'),
  /** May register nodes, apply roles and issue host certificates. */
  administer: z.boolean().default(false),
});

export type Role = z.infer<typeof roleSchema>;

export interface NodeRecord {
  readonly name: string;
  readonly kind: 'openssh' | 'agent';
  /** `host:port`. */
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Accepted host keys as `type base64`; empty: only a host certificate of Steno's host CA is accepted. */
  readonly host_keys: readonly string[];
  readonly last_seen_at: number | null;
}

export type Decision =
  | {
      readonly allowed: true;
      readonly by: string;
      readonly recording: RecordingMode;
      readonly portForwarding: boolean;
      readonly agentForwarding: boolean;
    }
  | { readonly allowed: false; readonly reason: string };

/** May `user`, holding `roles`, act as `login` on `node`? The strictest recording of the allowing roles applies. */
export function decide(user: string, roles: readonly Role[], node: Pick<NodeRecord, 'name' | 'labels'>, loginName: string): Decision {
  for (const role of roles) {
    const denied = Object.keys(role.deny.nodes).length > 0 && matchesLabels(role.deny.nodes, node);
    const deniedLogin = role.deny.logins.some((pattern) => pattern === '*' || matchesLogin(pattern, user, loginName));
    if (denied || deniedLogin) return { allowed: false, reason: `role ${role.name} denies ${denied ? `node ${node.name}` : `login ${loginName}`}` };
  }
  const allowing = roles.filter(
    (role) => matchesLabels(role.allow.nodes, node) && role.allow.logins.some((pattern) => matchesLogin(pattern, user, loginName)),
  );
  if (allowing.length === 0) return { allowed: false, reason: `no role of ${user} allows login ${loginName} on node ${node.name}` };
  return {
    allowed: true,
    by: allowing[0]!.name,
    recording: {
      mode: allowing.some((role) => role.recording.mode === 'strict') ? 'strict' : 'best_effort',
      streams: allowing.some((role) => role.recording.streams === 'full') ? 'full' : 'limited',
      limit: Math.max(...allowing.map((role) => role.recording.limit)),
    },
    portForwarding: allowing.some((role) => role.port_forwarding),
    agentForwarding: allowing.some((role) => role.agent_forwarding),
  };
}

/** An empty set of labels matches nothing: forgetting to say which nodes must not mean all of them. */
function matchesLabels(wanted: Readonly<Record<string, string>>, node: Pick<NodeRecord, 'name' | 'labels'>): boolean {
  const entries = Object.entries(wanted);
  return (
    entries.length > 0 &&
    entries.every(([key, value]) => {
      if (key === '*') return value === '*';
      const actual = key === 'name' ? node.name : Object.hasOwn(node.labels, key) ? node.labels[key] : undefined;
      return actual !== undefined && (value === '*' || value === actual);
    })
  );
}

function matchesLogin(pattern: string, user: string, wanted: string): boolean {
  // `*` stands for every login but root: root is named or not given.
  if (pattern === '*') return wanted !== 'root';
  return (pattern === '{user}' ? user : pattern) === wanted;
}

/** Whose sessions these roles let `user` see. */
export function visibility(roles: readonly Role[]): 'all' | 'own' | 'none' {
  if (roles.some((role) => role.view === 'all')) return 'all';
  return roles.some((role) => role.view === 'own') ? 'own' : 'none';
}
