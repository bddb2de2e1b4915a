/**
 * Webhooks: where access requests are announced, and who may answer from there. A resource of administrators, in YAML.
 *
 *     kind: webhook
 *     name: slack-access
 *     format: slack
 *     url: { file: slack-url }                 # an incoming webhook; its address is itself a secret
 *     signing_secret: { file: slack-signing }
 *     users: { U0123ABCD: ada }                # who may approve and deny with a button, and as which user
 *
 * The document never contains secrets (secret-reference.ts). Targets are https, or http on this machine.
 * Tested in webhook.test.ts.
 */
import { z } from 'zod';
import { severities } from '../events/rows.js';
import { secretReference } from './secret-reference.js';

const requestEvents = [
  'request.create',
  'request.approved',
  'request.denied',
  'request.cancelled',
  'request.expired',
  'request.over',
] as const;
/** `session.invited` is sent like request events; `finding.new` and `search.hit` (of scheduled searches) only to webhooks that name them. */
const webhookEvents = [...requestEvents, 'session.invited', 'finding.new', 'search.hit'] as const;
export type WebhookEvent = (typeof webhookEvents)[number];
export type RequestEvent = (typeof requestEvents)[number];

const name = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,62}$/, 'is not a name: lower-case letters, digits, dash and underscore');
const userName = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'is not a user name');

/** https anywhere, http to this machine only; without credentials, query or fragment. */
export function isWebhookTarget(text: string, query: 'none' | 'any' = 'none'): boolean {
  const match = /^(https?):\/\/(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]{1,253})(?::\d{1,5})?(\/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?(\?[^\s#]*)?$/.exec(
    text,
  );
  if (match === null || (match[4] !== undefined && query === 'none')) return false;
  return match[1] === 'https' || ['127.0.0.1', '[::1]', 'localhost'].includes(match[2]!.toLowerCase());
}

const url = z
  .string()
  .max(2048)
  .refine((text) => isWebhookTarget(text), 'is not an https address, or http on this machine, without user, query and fragment');

const common = {
  kind: z.literal('webhook'),
  name,
  events: z
    .array(z.enum(webhookEvents))
    .min(1)
    .max(webhookEvents.length)
    .default([...requestEvents, 'session.invited']),
  /** Minimum severity of the findings that are sent. */
  min_severity: z.enum(severities).default('medium'),
  /** Maps the other system's identities to users of Steno; only these may answer. */
  users: z
    .record(z.string().min(1).max(128), userName)
    .refine((map) => Object.keys(map).length <= 1000, 'are too many')
    .default({}),
};

const slack = z.strictObject({
  ...common,
  format: z.literal('slack'),
  url: z.union([url, secretReference]),
  /** Signing secret of the Slack app; without it, messages have no buttons and answers are refused. */
  signing_secret: secretReference.optional(),
});

const jira = z.strictObject({
  ...common,
  format: z.literal('jira'),
  /** Address of the site, such as `https://example.atlassian.net`. */
  url,
  email: z
    .string()
    .min(3)
    .max(254)
    .regex(/^[^\s:@]+@[^\s:@]+$/, 'is not an address'),
  token: secretReference,
  project: z.string().regex(/^[A-Z][A-Z0-9_]{0,31}$/, 'is not a project key'),
  issue_type: z.string().min(1).max(64).default('Task'),
  /** Secret of the webhook that Jira calls; without it, answers are refused. */
  webhook_secret: secretReference.optional(),
  approve_status: z.string().min(1).max(64).default('Approved'),
  deny_status: z.string().min(1).max(64).default('Declined'),
});

const json = z.strictObject({ ...common, format: z.literal('json'), url, secret: secretReference });

/** One line of OCSF for each finding, to a collector that takes a token. */
const ocsf = z.strictObject({
  ...common,
  format: z.literal('ocsf'),
  url,
  token: secretReference,
  events: z.array(z.literal('finding.new')).min(1).max(1).default(['finding.new']),
});

export const webhookSchema = z.discriminatedUnion('format', [slack, jira, json, ocsf]);
export type Webhook = z.output<typeof webhookSchema>;
export type JiraWebhook = z.output<typeof jira>;
