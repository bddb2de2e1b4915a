/**
 * The policy on access requests: what a user may request, who may approve it, and the number of approvals needed.
 *
 * Nobody reviews their own request, whatever roles say. Tested in request.test.ts.
 */
import type { NodeRecord, Role } from './role.js';
import { expressionOf, isEmpty, matchesSelector, scopeOf } from './compiled.js';
import { matchesPattern } from './kubernetes.js';
import { inOrderOfNames } from './subject.js';
import type { Clause, Refusal, Subject } from './subject.js';

type Node = Pick<NodeRecord, 'name' | 'labels'>;

/** The requested nodes, and roles by name. */
export interface Wanted {
  readonly roles: readonly string[];
  readonly nodes: readonly Node[];
}

export type RequestDecision =
  | {
      readonly allowed: true;
      /** A rule for each requested item: roles in order, then nodes. */
      readonly because: readonly Clause[];
      /** The strictest over all requested items, in seconds. */
      readonly maxDuration: number;
      readonly thresholds: { readonly approve: number; readonly deny: number };
      /** Logins that rules for nodes name; empty if none does. */
      readonly logins: readonly string[];
    }
  | Refusal;

/** Whether the subject may request all of this. Of several rules for one item, the one that needs the fewest approvals applies. */
export function decideRequest(subject: Subject, wanted: Wanted): RequestDecision {
  const roles = inOrderOfNames(subject.roles);
  const because: Clause[] = [];
  const logins = new Set<string>();
  let maxDuration = Infinity,
    approve = 1,
    deny = Infinity;
  const things = [
    ...wanted.roles.map((role) => ({ kind: 'role', role }) as const),
    ...wanted.nodes.map((node) => ({ kind: 'node', node }) as const),
  ];
  if (things.length === 0) return { allowed: false, reason: 'nothing is requested', because: null };
  for (const thing of things) {
    const what = thing.kind === 'role' ? `role ${thing.role}` : `node ${thing.node.name}`;
    for (const role of roles) {
      const at = role.deny.request.findIndex((rule) =>
        thing.kind === 'role' ? names(rule.roles, thing.role) : matchesSelector(rule.nodes, thing.node),
      );
      if (at >= 0)
        return {
          allowed: false,
          reason: `${subject.user} may not ask for ${what}: role ${role.name} denies it`,
          because: { role: role.name, path: ['deny', 'request', at] },
        };
    }
    const [rule] = roles
      .flatMap((role) => role.allow.request.map((one, at) => ({ one, clause: { role: role.name, path: ['allow', 'request', at] } })))
      .filter(({ one }) => {
        if (thing.kind === 'role') return names(one.roles, thing.role);
        if (isEmpty(one.nodes) && one.node_expression === undefined) return false;
        return (
          (isEmpty(one.nodes) || matchesSelector(one.nodes, thing.node)) &&
          (one.node_expression === undefined || expressionOf(one.node_expression, 'node').evaluate(scopeOf(subject, thing.node)) === true)
        );
      })
      .sort((a, b) => a.one.thresholds.approve - b.one.thresholds.approve);
    if (rule === undefined)
      return { allowed: false, reason: `${subject.user} may not ask for ${what}: none of their roles permits it`, because: null };
    because.push(rule.clause);
    maxDuration = Math.min(maxDuration, rule.one.max_duration);
    approve = Math.max(approve, rule.one.thresholds.approve);
    deny = Math.min(deny, rule.one.thresholds.deny);
    if (thing.kind === 'node') for (const login of rule.one.logins) logins.add(login);
  }
  return { allowed: true, because, maxDuration, thresholds: { approve, deny }, logins: [...logins].sort() };
}

/** Whether the subject may approve or deny this request; rules must cover every requested item. */
export function decideReview(
  subject: Subject,
  requester: string,
  wanted: Wanted,
): { readonly allowed: true; readonly because: readonly Clause[] } | Refusal {
  if (requester === subject.user) return { allowed: false, reason: 'nobody reviews their own request', because: null };
  const roles = inOrderOfNames(subject.roles);
  const scope = {
    ...scopeOf(subject, null),
    request: { user: requester, roles: wanted.roles, nodes: wanted.nodes.map(({ name }) => name) },
  };
  const find = (effect: 'allow' | 'deny', about: (rule: Role['allow']['approve'][number]) => boolean): Clause | undefined => {
    for (const role of roles) {
      const at = role[effect].approve.findIndex(
        (rule) => about(rule) && (rule.where === undefined || (expressionOf(rule.where, 'request').evaluate(scope) ?? effect === 'deny')),
      );
      if (at >= 0) return { role: role.name, path: [effect, 'approve', at] };
    }
    return undefined;
  };
  const because: Clause[] = [];
  for (const [what, about] of [
    ...wanted.roles.map((role) => [`role ${role}`, (rule: Role['allow']['approve'][number]) => names(rule.roles, role)] as const),
    ...wanted.nodes.map(
      (node) => [`node ${node.name}`, (rule: Role['allow']['approve'][number]) => matchesSelector(rule.nodes, node)] as const,
    ),
  ]) {
    const denial = find('deny', about);
    if (denial !== undefined)
      return {
        allowed: false,
        reason: `${subject.user} may not review requests for ${what}: role ${denial.role} denies it`,
        because: denial,
      };
    const grant = find('allow', about);
    if (grant === undefined)
      return {
        allowed: false,
        reason: `${subject.user} may not review requests for ${what}: none of their roles permits it`,
        because: null,
      };
    because.push(grant);
  }
  if (because.length === 0) return { allowed: false, reason: 'the request asks for nothing', because: null };
  return { allowed: true, because };
}

function names(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, name));
}
