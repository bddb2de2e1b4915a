/**
 * Roles: the schema of the authority's YAML documents. The other modules of policy/ decide by them; docs/roles.md explains every
 * field.
 *
 * Strict: unknown fields are errors. Version 2 only adds to version 1, so documents of version 1, which name no version, are
 * accepted unchanged. Tested in role.test.ts.
 */
import { z } from 'zod';
import { compileExpression, ExpressionError } from './label-expression.js';
import type { ExpressionSubject } from './label-expression.js';
import { forwardDenial, forwardSettings } from './forwarding.js';
import { parseTemplate } from './login-template.js';
import { streamsModes, unechoedModes } from '../recording/line.js';

const name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'is not a name: lower-case letters, digits, dot, dash and underscore')
  .refine((text) => !text.includes('..'), 'has two dots in a row');
/** A name, a prefix of one followed by `*`, or `*`. */
const namePattern = z
  .string()
  .max(64)
  .regex(/^(?:[a-z0-9][a-z0-9_.-]{0,62}\*?|\*)$/, 'is neither a name nor a prefix of one followed by *');
const text = (max: number) => z.string().max(max);
const template = (message: string, fixed: RegExp) =>
  text(160).refine((value) => {
    const parsed = parseTemplate(value);
    return parsed !== null && (parsed.expand !== null || fixed.test(value));
  }, message);

/** A login name of a node, or a template. `*` means any login: without root in an allowing rule, with root in a denying one. */
const login = template(
  'is not a login: a name of the node, *, {user}, {traits.KEY} or {email.local(traits.KEY)}',
  /^(?:\*|[a-z_][a-z0-9_.-]{0,31})$/,
);
/** Names of Kubernetes users and groups. */
const kubeName = template('is neither a Kubernetes name nor a template', /^[A-Za-z0-9][A-Za-z0-9:@._/-]{0,159}$/);
const kubePattern = (allowed: RegExp) => z.string().max(253).regex(allowed, 'is neither a name nor a prefix of one followed by *');

/** `secrets`, `sealedsecrets.bitnami.com`, or a prefix of one followed by `*`; without subresources. */
const kubeResources = z.array(kubePattern(/^(?:[a-z0-9][a-z0-9.-]{0,252}\*?|\*)$/)).max(256);

/** Labels a node must carry, all of them, each with one of the values; `*: '*'` is every node, a value `*` any value. */
const labels = z
  .record(z.string().min(1).max(63), z.union([text(255), z.array(text(255)).min(1).max(64)]))
  .refine((map) => Object.keys(map).length <= 64, 'are too many');
export type NodeSelector = z.output<typeof labels>;

const expression = (about: ExpressionSubject) =>
  z.string().superRefine((value, context) => {
    try {
      compileExpression(value, about);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      context.addIssue({ code: 'custom', message: error.message, params: { offset: error.at } });
    }
  });

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
/** Seconds, as a number or as `30s`, `15m`, `8h`, `7d`. */
const seconds = (least: number, most: number) =>
  z.preprocess(
    (value) => {
      const match = typeof value === 'string' ? /^(\d{1,9})([smhd])$/.exec(value) : null;
      return match === null ? value : Number(match[1]) * units[match[2]!]!;
    },
    z.number({ error: 'is not a duration: a number of seconds, or 30s, 15m, 8h, 7d' }).int().min(least).max(most),
  );

export const sessionActions = ['list', 'view', 'follow', 'export', 'join', 'moderate', 'invite'] as const;
export type SessionAction = (typeof sessionActions)[number];
export const joinModes = ['observer', 'peer', 'moderator'] as const;
export type JoinMode = (typeof joinModes)[number];
/** The kinds of resources that roles can administer; reading `access` means seeing what other users may reach. */
export const resourceKinds = [
  'role',
  'user',
  'node',
  'lock',
  'token',
  'ca',
  'connector',
  'cluster',
  'request',
  'service',
  'bot',
  'audit',
  'sql',
  'access',
  'rule',
  'finding',
  'note',
  'case',
  'search',
] as const;
export type ResourceKind = (typeof resourceKinds)[number];
/** `label`: setting the labels of a node, or of a machine that joins; for nodes only. */
export const resourceVerbs = ['list', 'read', 'create', 'update', 'delete', 'label'] as const;
export type ResourceVerb = (typeof resourceVerbs)[number];

/** Actions on sessions: the user's own, or all, restricted by an expression if there is one. */
const sessionRule = z.strictObject({
  actions: z
    .array(z.enum([...sessionActions, '*']))
    .min(1)
    .max(16),
  of: z.enum(['own', 'all']).default('all'),
  where: expression('session').optional(),
  /** The modes in which the user may join, or invite others. Nobody can be invited to moderate. */
  modes: z.array(z.enum(joinModes)).max(3).default(['observer']),
});
export type SessionRule = z.output<typeof sessionRule>;

const resourceRule = z.strictObject({
  resources: z
    .array(z.enum([...resourceKinds, '*']))
    .min(1)
    .max(32),
  verbs: z
    .array(z.enum([...resourceVerbs, '*']))
    .min(1)
    .max(8),
});

const kubeRule = z.strictObject({
  /** Labels of the cluster, as of nodes. */
  clusters: labels.default({ '*': '*' }),
  namespaces: z
    .array(kubePattern(/^(?:[a-z0-9][a-z0-9-]{0,62}\*?|\*)$/))
    .max(256)
    .default(['*']),
  /** `pods`, `pods/exec`, `deployments.apps`, or a prefix of one followed by `*`. */
  resources: z
    .array(kubePattern(/^(?:[a-z0-9][a-z0-9./-]{0,252}\*?|\*)$/))
    .max(256)
    .default(['*']),
  names: z
    .array(kubePattern(/^(?:[A-Za-z0-9][A-Za-z0-9:._-]{0,251}\*?|\*)$/))
    .max(256)
    .default(['*']),
  verbs: z
    .array(z.string().regex(/^(?:[a-z]{1,32}|\*)$/, 'is not a Kubernetes verb'))
    .max(32)
    .default(['*']),
  groups: z.array(kubeName).max(64).default([]),
  users: z.array(kubeName).max(64).default([]),
});
export type KubeRule = z.output<typeof kubeRule>;

/** Access that users may request, and the number of approvals it takes. */
const requestRule = z.strictObject({
  roles: z.array(namePattern).max(256).default([]),
  nodes: labels.default({}),
  node_expression: expression('node').optional(),
  /** Logins that may be requested on those nodes; if empty, the logins that the role allows elsewhere. */
  logins: z.array(login).max(64).default([]),
  max_duration: seconds(60, 2_592_000).default(28_800),
  thresholds: z
    .strictObject({ approve: z.number().int().min(1).max(32).default(1), deny: z.number().int().min(1).max(32).default(1) })
    .prefault({}),
});
export type RequestRule = z.output<typeof requestRule>;

/** Requests that users may approve or deny, by requester, roles and nodes. */
const approveRule = z.strictObject({
  roles: z.array(namePattern).max(256).default([]),
  nodes: labels.default({}),
  where: expression('request').optional(),
});
export type ApproveRule = z.output<typeof approveRule>;

const both = {
  nodes: labels.default({}),
  node_expression: expression('node').optional(),
  logins: z.array(login).max(256).default([]),
  kubernetes: z.array(kubeRule).max(256).default([]),
  sessions: z.array(sessionRule).max(64).default([]),
  approve: z.array(approveRule).max(64).default([]),
  rules: z.array(resourceRule).max(64).default([]),
};
const allow = z.strictObject({ ...both, request: z.array(requestRule).max(64).default([]) });
const deny = z.strictObject({
  ...both,
  /** Denied regardless of what other roles allow. */
  port_forwarding: z.union([z.boolean(), forwardDenial]).default(false),
  agent_forwarding: z.boolean().default(false),
  /** Kubernetes resources whose values are hidden in answers; keys are shown. */
  kubernetes_values: kubeResources.default([]),
  /** Access that may not be requested. */
  request: z
    .array(z.strictObject({ roles: z.array(namePattern).max(256).default([]), nodes: labels.default({}) }))
    .max(64)
    .default([]),
});

export const kernelEventClasses = ['exec', 'file', 'network', 'dns', 'security'] as const;
export type KernelEventClass = (typeof kernelEventClasses)[number];
const enhanced = z.strictObject({
  /** `strict`: no session without kernel events. */
  mode: z.enum(['off', 'best_effort', 'strict']).default('best_effort'),
  classes: z
    .array(z.enum(kernelEventClasses))
    .max(5)
    .default([...kernelEventClasses]),
});

/** Whether recordings that the role's holders view carry their name and the time: always, or if an expression on the session holds. */
const watermark = z.union([z.boolean(), z.strictObject({ where: expression('session') })]);
export type WatermarkTerm = z.output<typeof watermark>;

/** Requires other users to be in a session before it starts and while it lasts. */
const moderation = z.strictObject({
  /** The number of participants required. */
  count: z.number().int().min(1).max(16).default(1),
  /** The modes in which they count. */
  modes: z.array(z.enum(joinModes)).min(1).max(3).default(['moderator']),
  /** Restricts who counts: `user` is the participant; facts of the session are available too. */
  where: expression('session').optional(),
  /** Interval, from 2 minutes to a day, at which participants must prove their second factor to count as present; if omitted: never. */
  presence: seconds(120, 86_400).optional(),
  /** What happens to the session when too few of them are left. */
  on_leave: z.enum(['pause', 'terminate']).default('pause'),
});
export type ModerationTerm = z.output<typeof moderation>;

export const roleSchema = z.strictObject({
  kind: z.literal('role'),
  /** Version of the document's form; omitted means 1. Newer versions are refused. */
  version: z
    .union([z.literal(1), z.literal(2)], { error: 'is not a version that this Steno reads: 1 or 2' })
    .transform(() => 2 as const)
    .default(2),
  name,
  description: text(1024).default(''),
  /** Lifetime of certificates with this role: one minute to 30 hours. */
  max_ttl: seconds(60, 108_000).default(43_200),
  allow: allow.prefault({}),
  deny: deny.prefault({}),
  port_forwarding: z.union([z.boolean(), forwardSettings]).default(true),
  agent_forwarding: z.boolean().default(true),
  /** A session ends after this time, from a minute to 30 days; no limit if omitted. */
  max_session_length: seconds(60, 2_592_000).optional(),
  /** A session ends after this time without input from the client; no limit if omitted. */
  idle_timeout: seconds(60, 2_592_000).optional(),
  /** How long a terminal in the page waits for a lost network, from 5 s to 10 minutes; if omitted: not at all. */
  reconnect: seconds(5, 600).optional(),
  /** Most concurrent connections of a user to nodes, over all gateways. */
  max_sessions: z.number().int().min(1).max(10_000).optional(),
  /** Whether live sessions end when the certificate expires. */
  disconnect_expired_cert: z.boolean().default(false),
  /** Whether each session needs a second factor. */
  require_session_mfa: z.boolean().default(false),
  /** Whether requests that change a Kubernetes cluster need a recent second factor. */
  require_write_mfa: z.boolean().default(false),
  /** Sessions wait until these participants have joined; for nobody if omitted. */
  moderation: moderation.optional(),
  recording: z
    .strictObject({
      mode: z.enum(['strict', 'best_effort']).default('strict'),
      /** Which streams without a terminal are recorded in full; the others up to `limit`. */
      streams: z.enum(streamsModes).default('commands'),
      /** Bytes kept per direction of a stream that is not recorded in full, beside its tail. */
      limit: z
        .number()
        .int()
        .min(0)
        .max(1 << 30)
        .default(1 << 20),
      /** Whether long input that the terminal does not echo is kept as size and digest, or with its bytes. */
      unechoed: z.enum(unechoedModes).default('digest'),
      /** Whether the events of requests that change a Kubernetes cluster contain the request bodies. */
      bodies: z.enum(['none', 'writes']).default('none'),
      /** Kubernetes resources whose values are left out of recorded bodies, as those of Secrets always are. */
      redact: kubeResources.default([]),
      /** Kernel events of the session: commands, files, connections. */
      enhanced: enhanced.prefault({}),
    })
    .prefault({}),
  /** Short for `sessions` that list, view, follow and export: those of `all`, of the user's `own`, or `none`. */
  view: z.enum(['all', 'own', 'none']).default('own'),
  /** Recordings that its holders view carry a watermark (policy/watermark.ts). */
  watermark: watermark.default(false),
  /** Short for `rules` on everything. */
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
  /** SHA-256 (lower-case hex, over the SPKI) of the key with which its agent joined; `address` is then empty, and gateways use the agent's tunnel. */
  readonly tunnel_key?: string;
  /** Set if the node accepts session certificates for `LOGIN@NODE` and needs none for the bare login, which other nodes would also accept. */
  readonly node_principals?: boolean;
  /** Accounts on the authority's machine through which Steno could be taken over; only for users who administer everything. Set by the authority, never stored. */
  readonly owner_logins?: readonly string[];
}
