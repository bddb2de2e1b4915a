/**
 * Access requests: what is requested, who approved it, and what an approved request grants.
 *
 *     (none) ──create──► pending ──enough approvals──► approved ──its time──► over
 *                          │ │ └──one denial too many──► denied    └──cancel──► cancelled
 *                          │ └──cancel──► cancelled
 *                          └──its time──► expired
 *
 * A grant gives roles as they are at the time of use, restricted to the request's nodes. It never gives more than its roles do,
 * nor more than they did at the time of the request: if a role has changed since, other than by becoming narrower, the request is
 * void (`changedRoles`), because the reviewers did not approve the change. Only `rolesOfGrant` decides what a grant is worth;
 * gateway, viewer and authority call it with the same snapshot. Tested in access-request.test.ts.
 */
import { z } from 'zod';
import { isNarrower } from '../policy/power/documents.js';
import { same } from '../policy/power/within.js';
import type { Role } from '../policy/role.js';

const texts = z.array(z.string()).readonly();

const requestStates = ['pending', 'approved', 'denied', 'cancelled', 'expired', 'over'] as const;
export type RequestState = (typeof requestStates)[number];

/** `role`: the whole role. `narrowed`: the role on these nodes only. `nodes`: these logins on these nodes, under the terms of a role. */
const grantItem = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('role'), role: z.string() }).readonly(),
  z.strictObject({ kind: z.literal('narrowed'), role: z.string(), nodes: texts }).readonly(),
  z.strictObject({ kind: z.literal('nodes'), role: z.string(), nodes: texts, logins: texts }).readonly(),
]);
export type GrantItem = z.output<typeof grantItem>;

/** The access that an approved request gives while it lasts. */
export interface Grant {
  /** Id of the request. */
  readonly id: string;
  readonly user: string;
  /** ms since 1970. */
  readonly ends_at: number;
  readonly items: readonly GrantItem[];
}

const requestReview = z
  .strictObject({
    reviewer: z.string(),
    decision: z.enum(['approve', 'deny']),
    reason: z.string(),
    at: z.int(),
    /** How the review was made: `steno`, `web`, or the name of a webhook. */
    via: z.string(),
  })
  .readonly();
export type RequestReview = z.output<typeof requestReview>;

const request = {
  id: z.string(),
  user: z.string(),
  state: z.enum(requestStates),
  reason: z.string(),
  items: z.array(grantItem).readonly(),
  created_at: z.int(),
  /** End of the time in which the request can be decided. */
  expires_at: z.int(),
  /** Duration of the grant after approval, in ms. */
  duration: z.int(),
  decided_at: z.int().nullable(),
  /** End of the grant of an approved request. */
  ends_at: z.int().nullable(),
  /** Required number of approvals and of denials, as of the time of the request. */
  thresholds: z.strictObject({ approve: z.int(), deny: z.int() }).readonly(),
  reviews: z.array(requestReview).readonly(),
  /** Revision of each role at the time of the request, to which reviews refer. */
  revisions: z.record(z.string(), z.int()).readonly(),
  /** Roles that have changed without becoming narrower; while there are any, the request can be neither approved nor used. */
  changed: texts,
};
export const accessRequest = z.strictObject(request).readonly();
export type AccessRequest = z.output<typeof accessRequest>;

/** A request, with the permissions of the caller. */
export const requestView = z.strictObject({ ...request, may_review: z.boolean(), may_cancel: z.boolean() }).readonly();
export type RequestView = z.output<typeof requestView>;

/** A role as it was at the time of the request. */
export interface RolePin {
  readonly revision: number;
  readonly document: Role;
}

export interface NewAccessRequest {
  readonly roles: readonly string[];
  readonly nodes: readonly string[];
  readonly logins: readonly string[];
  readonly reason: string;
  /** ms. */
  readonly duration: number;
}

const choice = { name: z.string(), max_duration: z.int(), approvals: z.int() };
/** Access that the user could request. */
export const requestOptions = z
  .strictObject({
    roles: z.array(z.strictObject({ ...choice, description: z.string() }).readonly()).readonly(),
    nodes: z.array(z.strictObject({ ...choice, logins: texts }).readonly()).readonly(),
  })
  .readonly();
export type RequestOptions = z.output<typeof requestOptions>;

/** The stored state, updated for expiry. */
export function stateAt(
  request: { readonly state: RequestState; readonly expires_at: number; readonly ends_at: number | null },
  now: number,
): RequestState {
  if (request.state === 'pending' && request.expires_at <= now) return 'expired';
  if (request.state === 'approved' && (request.ends_at ?? 0) <= now) return 'over';
  return request.state;
}

/** The outcome of the reviews. Denials take precedence over approvals. */
export function standing(
  reviews: readonly Pick<RequestReview, 'decision'>[],
  thresholds: AccessRequest['thresholds'],
): 'pending' | 'approved' | 'denied' {
  const count = (decision: RequestReview['decision']): number => reviews.filter((review) => review.decision === decision).length;
  if (count('deny') >= Math.max(1, thresholds.deny)) return 'denied';
  return count('approve') >= Math.max(1, thresholds.approve) ? 'approved' : 'pending';
}

/** The roles that a grant gives now. Undefined if one of them no longer exists, since its denials would be lost. */
export function rolesOfGrant(grant: Pick<Grant, 'items'>, known: readonly Role[]): readonly Role[] | undefined {
  const roles: Role[] = [];
  for (const item of grant.items) {
    const role = known.find(({ name }) => name === item.role);
    if (role === undefined) return undefined;
    roles.push(...(item.kind === 'role' ? [role] : worth(role, item)));
  }
  return roles;
}

/** Roles of the items that have changed since the request, other than by becoming narrower. Removed roles are not included. */
export function changedRoles(
  pins: Readonly<Record<string, RolePin>>,
  items: readonly GrantItem[],
  known: readonly Role[],
): readonly string[] {
  return [...new Set(items.map(({ role }) => role))]
    .filter((name) => {
      const now = known.find((role) => role.name === name);
      const pin = Object.hasOwn(pins, name) ? pins[name] : undefined;
      return now !== undefined && (pin === undefined || !(same(now, pin.document) || isNarrower(now, pin.document)));
    })
    .sort();
}

/** The role restricted to these nodes, with node access only. Its denials stay in force. */
function worth(role: Role, item: Exclude<GrantItem, { readonly kind: 'role' }>): readonly Role[] {
  if (item.kind === 'nodes') return [onlyReaching(role, { nodes: { name: [...item.nodes] }, logins: [...item.logins] })];
  const { nodes: selector, node_expression: expression, logins } = role.allow;
  // If the role gives the user no node, naming one gives none either.
  if (Object.keys(selector).length === 0 && expression === undefined) return [];
  const named = Object.hasOwn(selector, 'name') ? [selector['name']!].flat() : ['*'];
  const nodes = named.includes('*') ? item.nodes : item.nodes.filter((node) => named.includes(node));
  return nodes.length === 0
    ? []
    : [
        onlyReaching(role, {
          nodes: { ...selector, name: [...nodes] },
          logins,
          ...(expression === undefined ? {} : { node_expression: expression }),
        }),
      ];
}

function onlyReaching(role: Role, allow: Pick<Role['allow'], 'nodes' | 'node_expression' | 'logins'>): Role {
  return {
    ...role,
    allow: { ...allow, kubernetes: [], sessions: [], approve: [], rules: [], request: [] },
    view: 'none',
    administer: false,
  };
}

/** Describes a grant, one line per item. */
export function describeItem(item: GrantItem): string {
  switch (item.kind) {
    case 'role':
      return `role ${item.role}`;
    case 'narrowed':
      return `role ${item.role}, only on ${item.nodes.join(', ')}`;
    case 'nodes':
      return `${item.logins.join(', ')} on ${item.nodes.join(', ')}, by the terms of role ${item.role}`;
  }
}

/** Names of roles, nodes and logins that a request is about. */
export function scopeOfItems(items: readonly GrantItem[]): {
  readonly roles: readonly string[];
  readonly nodes: readonly string[];
  readonly logins: readonly string[];
} {
  const unique = (all: readonly string[]): readonly string[] => [...new Set(all)].sort();
  return {
    roles: unique(items.flatMap((item) => (item.kind === 'nodes' ? [] : [item.role]))),
    nodes: unique(items.flatMap((item) => (item.kind === 'role' ? [] : item.nodes))),
    logins: unique(items.flatMap((item) => (item.kind === 'nodes' ? item.logins : []))),
  };
}
