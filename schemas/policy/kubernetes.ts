/**
 * The policy on Kubernetes: whether a request may be made, and as which user and groups it is passed on.
 *
 * A rule allows when cluster, verb, resource, namespace and name all match; the groups and users of all rules that allow
 * are put together. A denying rule that names groups or users takes those away; one that names none denies the request.
 * A request without a namespace (nodes, namespaces, all pods of a cluster) needs a rule for namespace `*`.
 * Tested in kubernetes.test.ts.
 */
import type { KubeRule } from './role.js';
import { matchesSelector } from './compiled.js';
import type { Labelled } from './compiled.js';
import { parseTemplate } from './login-template.js';
import type { Person } from './login-template.js';
import type { Clause, Refusal, Subject } from './subject.js';

export interface KubeRequest {
  /** `get`, `list`, `watch`, `create`, ..., as Kubernetes names them. */
  readonly verb: string;
  /** Empty: the core group. */
  readonly group: string;
  readonly resource: string;
  readonly subresource: string | null;
  readonly namespace: string | null;
  readonly name: string | null;
}

export type KubeDecision =
  | {
      readonly allowed: true;
      readonly by: string;
      readonly because: Clause;
      readonly users: readonly string[];
      readonly groups: readonly string[];
    }
  | Refusal;

interface Found {
  readonly clause: Clause;
  readonly rule: KubeRule;
}

/** Names that a trait could carry but that must never come from one. */
const reserved = /^system:/;
const kubeName = /^[A-Za-z0-9][A-Za-z0-9:@._/-]{0,159}$/;

export function decideKube(subject: Subject, cluster: Labelled, request: KubeRequest): KubeDecision {
  const matching = (effect: 'allow' | 'deny'): Found[] =>
    [...subject.roles]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .flatMap((role) =>
        role[effect].kubernetes.flatMap((rule, at) =>
          matches(rule, cluster, request, effect) ? [{ clause: { role: role.name, path: [effect, 'kubernetes', at] }, rule }] : [],
        ),
      );
  const denying = matching('deny');
  const denial = denying.find(({ rule }) => rule.groups.length === 0 && rule.users.length === 0);
  const what = `${request.verb} ${resourceName(request)}${request.namespace === null ? '' : ` in ${request.namespace}`} on ${cluster.name}`;
  if (denial !== undefined) return { allowed: false, reason: `role ${denial.clause.role} denies ${what}`, because: denial.clause };
  const allowing = matching('allow');
  const [first] = allowing;
  if (first === undefined) return { allowed: false, reason: `no role of ${subject.user} allows ${what}`, because: null };
  const collect = (field: 'groups' | 'users'): readonly string[] => {
    const taken = new Set(denying.flatMap(({ rule }) => namesOf(rule[field], subject, true)));
    return [...new Set(allowing.flatMap(({ rule }) => namesOf(rule[field], subject, false)))].filter((name) => !taken.has(name)).sort();
  };
  const [users, groups] = [collect('users'), collect('groups')];
  if (users.length === 0 && groups.length === 0) {
    return {
      allowed: false,
      reason: `the roles of ${subject.user} name no user or group for ${what}`,
      because: denying[0]?.clause ?? first.clause,
    };
  }
  return { allowed: true, by: first.clause.role, because: first.clause, users, groups };
}

function matches(
  rule: KubeRule,
  cluster: Labelled,
  { verb, group, resource, subresource, namespace, name }: KubeRequest,
  effect: 'allow' | 'deny',
): boolean {
  const full = resourceName({ group, resource, subresource });
  // `deployments` and `deployments.apps` both name it; a subresource is named with its resource, or not given.
  const names = group === '' ? [full] : [full, subresource === null ? resource : `${resource}/${subresource}`];
  const all = (patterns: readonly string[]): boolean => patterns.includes('*');
  // What is about all namespaces, or all names, touches those that are denied too.
  const place = (patterns: readonly string[], value: string | null): boolean =>
    value === null
      ? all(patterns) || (effect === 'deny' && patterns.length > 0)
      : patterns.some((pattern) => matchesPattern(pattern, value));
  return (
    matchesSelector(rule.clusters, cluster) &&
    (all(rule.verbs) || rule.verbs.includes(verb)) &&
    rule.resources.some((pattern) => names.some((text) => matchesPattern(pattern, text))) &&
    place(rule.namespaces, namespace) &&
    place(rule.names, name)
  );
}

/** `pods`, `pods/exec`, `deployments.apps/scale`. */
function resourceName({ group, resource, subresource }: Pick<KubeRequest, 'group' | 'resource' | 'subresource'>): string {
  return `${resource}${group === '' ? '' : `.${group}`}${subresource === null ? '' : `/${subresource}`}`;
}

function namesOf(templates: readonly string[], person: Person, denying: boolean): readonly string[] {
  return templates.flatMap((text) => {
    const { expand = null } = parseTemplate(text) ?? {};
    if (expand === null) return [text];
    return expand(person).filter((name) => denying || (kubeName.test(name) && !reserved.test(name)));
  });
}

/** Equal, or beginning with what stands before the `*` at the pattern's end. */
export function matchesPattern(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : pattern === value;
}
