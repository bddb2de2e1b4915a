/**
 * The policy of automatic responses to findings, a file given to the authority. YAML:
 *
 *     dry_run: false
 *     limit: { responses: 10, within: 1h }
 *     except: { users: [break-glass] }
 *     responses:
 *       - rules: [6f1b3f62-0f07-4d5c-8f2e-0d6f8a3c1b11]
 *         action: freeze
 *         ttl: 1h
 *       - rules: [steno/bulk-data]
 *         action: require_moderator
 *       - severities: [critical]
 *         roles: [contractor]
 *         action: end
 *         without_confirmation: true
 *
 * The first matching response is taken. `end` and `lock_user` become `freeze` unless the response sets `without_confirmation`: the session
 * stops accepting input until a person decides. A demand for a moderator already involves a person. Pure. Tested in
 * response-policy.test.ts.
 */
import { z } from 'zod';
import { parseDuration } from '../base/duration.js';
import { severities } from '../events/rows.js';
import type { FindingRow } from '../events/rows.js';

/**
 * freeze: input is discarded, the session continues. require_moderator: the same, while no moderator has joined. end: the session
 * ends. lock_user: all of the user's sessions end, and no new ones begin.
 */
export const responseActions = ['freeze', 'require_moderator', 'end', 'lock_user'] as const;
export type ResponseAction = (typeof responseActions)[number];

const LONGEST_MS = 30 * 86_400_000;
const DEFAULT_MS = 3_600_000;
const span = z.string().refine((text) => (parseDuration(text) ?? Infinity) <= LONGEST_MS, 'is not a time such as 30m or 2h, up to 30d');
const some = z.array(z.string().min(1).max(255)).min(1).max(1_000).optional();

const response = z
  .strictObject({
    /** Ids of rules. */
    rules: some,
    severities: z.array(z.enum(severities)).min(1).optional(),
    tiers: z
      .array(z.enum(['signal', 'alert', 'session']))
      .min(1)
      .optional(),
    /** One of the roles of the session. */
    roles: some,
    action: z.enum(responseActions),
    /** An hour by default; for `require_moderator` the longest possible, so that nobody can outwait the demand. */
    ttl: span.optional(),
    without_confirmation: z.boolean().default(false),
  })
  .refine(({ rules, severities: levels }) => rules !== undefined || levels !== undefined, {
    path: ['rules'],
    message: 'name rules or severities',
  });

const none = z.array(z.string().min(1).max(255)).max(1_000).default([]);
export const responsePolicy = z.strictObject({
  /** Nothing is done except writing audit rows about the responses. */
  dry_run: z.boolean().default(false),
  limit: z.strictObject({ responses: z.int().min(1).max(10_000).default(10), within: span.default('1h') }).prefault({}),
  except: z.strictObject({ users: none, roles: none }).prefault({}),
  responses: z.array(response).max(1_000),
});
export type ResponsePolicy = z.output<typeof responsePolicy>;

export interface ResponseCase {
  readonly rule: string;
  readonly severity: FindingRow['severity'];
  readonly tier: 'signal' | 'alert' | 'session';
  readonly user: string;
  readonly roles: readonly string[];
}

export type ResponseChoice =
  | { readonly kind: 'none' }
  | { readonly kind: 'take'; readonly action: ResponseAction; readonly asked: ResponseAction; readonly ttlMs: number };

export function chooseResponse(policy: ResponsePolicy, of: ResponseCase): ResponseChoice {
  const { except, responses } = policy;
  if (except.users.includes(of.user) || of.roles.some((role) => except.roles.includes(role))) return { kind: 'none' };
  const found = responses.find(
    (response) => isAbout(response, of) && (response.roles === undefined || of.roles.some((role) => response.roles?.includes(role))),
  );
  if (found === undefined) return { kind: 'none' };
  return { kind: 'take', action: actionOf(found), asked: found.action, ttlMs: ttlOf(found) };
}

/** The responses to findings of a rule, in the order of the policy; the first whose roles fit applies. `roles` null: any roles. */
export function responsesTo(
  { responses }: ResponsePolicy,
  of: Omit<ResponseCase, 'user' | 'roles'>,
): readonly { readonly action: ResponseAction; readonly roles: readonly string[] | null }[] {
  const fitting = responses.filter((response) => isAbout(response, of));
  const last = fitting.findIndex(({ roles }) => roles === undefined);
  return (last < 0 ? fitting : fitting.slice(0, last + 1)).map((one) => ({ action: actionOf(one), roles: one.roles ?? null }));
}

type Response = ResponsePolicy['responses'][number];

function isAbout({ rules, severities: levels, tiers }: Response, of: Omit<ResponseCase, 'user' | 'roles'>): boolean {
  return (rules?.includes(of.rule) ?? true) && (levels?.includes(of.severity) ?? true) && (tiers?.includes(of.tier) ?? true);
}

/** A person decides about anything beyond a freeze, unless the policy says otherwise. */
function actionOf({ action, without_confirmation: unconfirmed }: Response): ResponseAction {
  return unconfirmed || action === 'require_moderator' ? action : 'freeze';
}

function ttlOf({ action, ttl }: Response): number {
  if (ttl !== undefined) return parseDuration(ttl)!;
  return action === 'require_moderator' ? LONGEST_MS : DEFAULT_MS;
}
