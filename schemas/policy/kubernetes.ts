/**
 * The policy on Kubernetes: whether a request may be made, as which user and groups it is passed on, and under which terms.
 *
 * A rule allows when cluster, verb, resource, namespace and name all match; the groups and users of all rules that allow
 * are put together. A denying rule that names groups or users takes those away; one that names none denies the request.
 * A request without a namespace (nodes, namespaces, all pods of a cluster) needs a rule for namespace `*`, one without a name
 * (lists, creations) a rule for name `*`: answers are not filtered, so what may not be seen whole is not listed. Tested in
 * kubernetes.test.ts.
 */
import { termsOf } from './node.js';
import type { SessionTerms } from './node.js';
import type { KubeRule, Role } from './role.js';
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
      /** That of the roles, which may name one, or `kubeUserOf` where they name groups alone. */
      readonly impersonate: string;
      readonly groups: readonly string[];
      readonly terms: SessionTerms;
    }
  | Refusal;

/** What is asked of a cluster. */
export type PolicyCluster = Labelled;

interface Found {
  readonly clause: Clause;
  readonly role: Role;
  readonly rule: KubeRule;
}

/** Names that a trait could carry but that must never come from one. */
const reserved = /^system:/;
const kubeName = /^[A-Za-z0-9][A-Za-z0-9:@._/-]{0,159}$/;

export function decideKube(subject: Subject, cluster: PolicyCluster, request: KubeRequest): KubeDecision {
  const matching = (effect: 'allow' | 'deny'): readonly Found[] =>
    rulesOf(subject, effect).filter(({ rule }) => matches(rule, cluster, request, effect));
  const denying = matching('deny');
  const denial = denying.find(({ rule }) => deniesRequest(rule));
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
  const nobody = users.length === 0 && groups.length === 0;
  if (nobody || users.length > 1) {
    return {
      allowed: false,
      reason: nobody
        ? `the roles of ${subject.user} name no user or group for ${what}`
        : `the roles of ${subject.user} name ${users.length} users (${users.slice(0, 4).join(', ')}) for ${what}, where one can be passed on`,
      because: denying[0]?.clause ?? first.clause,
    };
  }
  const terms = termsOf([...new Set(allowing.map(({ role }) => role))]);
  return { allowed: true, by: first.clause.role, because: first.clause, impersonate: users[0] ?? kubeUserOf(subject), groups, terms };
}

/** Whom a cluster sees where roles name no user. The prefix keeps names in Steno from being names that a cluster gave rights to. */
export function kubeUserOf({ user }: Pick<Subject, 'user'>): string {
  return `steno:${user}`;
}

/**
 * May the subject use this cluster at all: read which APIs it has, and see it in lists? Some rule must allow something on it,
 * and none deny all of it.
 */
export function mayUseCluster(subject: Subject, cluster: PolicyCluster): boolean {
  const here = ({ rule }: Found): boolean => matchesSelector(rule.clusters, cluster);
  const whole = ({ rule }: Found): boolean =>
    deniesRequest(rule) && [rule.namespaces, rule.resources, rule.names, rule.verbs].every((patterns) => patterns.includes('*'));
  return rulesOf(subject, 'allow').some(here) && !rulesOf(subject, 'deny').some((found) => here(found) && whole(found));
}

function rulesOf({ roles }: Subject, effect: 'allow' | 'deny'): readonly Found[] {
  return [...roles]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((role) =>
      role[effect].kubernetes.map((rule, at) => ({ clause: { role: role.name, path: [effect, 'kubernetes', at] }, role, rule })),
    );
}

/** A denying rule that names users or groups takes those away, and lets the request be. */
function deniesRequest({ users, groups }: KubeRule): boolean {
  return users.length === 0 && groups.length === 0;
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
