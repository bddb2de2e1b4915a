/**
 * The policy on Kubernetes: whether a request is allowed, the user and groups it is passed on as, and its terms.
 *
 * A rule allows when cluster, verb, resource, namespace and name all match; the groups and users of all matching rules are
 * combined. A denying rule that names groups or users takes those away; one that names none denies the request. A request
 * without a namespace (nodes, all pods of a cluster) needs a rule for namespace `*`, one without a name (creations,
 * deletions of collections) a rule for name `*`. Lists and watches are the exception: if rules allow a part, the decision
 * says which objects the answer may contain (`shows`). Tested in kubernetes.test.ts.
 */
import { NO_FORWARDING, denialOf, forwardingOf, grantOf } from './forwarding.js';
import type { Forwarding } from './forwarding.js';
import { termsOf } from './node.js';
import type { SessionTerms } from './node.js';
import type { KubeRule, Role } from './role.js';
import { matchesSelector } from './compiled.js';
import type { Labelled } from './compiled.js';
import { parseTemplate } from './login-template.js';
import type { Person } from './login-template.js';
import { inOrderOfNames } from './subject.js';
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
      /** The user named by the roles, or `kubeUserOf` if they name only groups. */
      readonly impersonate: string;
      readonly groups: readonly string[];
      readonly forwarding: Forwarding;
      /** For a partially allowed list or watch: which objects may be shown. Null: all of them. */
      readonly shows: ((object: KubeObject) => boolean) | null;
      readonly terms: SessionTerms;
      /** Whether a recent second factor is required: for a stream, or for a write if a role says so. */
      readonly confirm: boolean;
      /** For a write: resources whose values are omitted from the recorded body; null if the body is not recorded. */
      readonly bodies: { readonly redact: readonly string[] } | null;
      /** Whether its answer shows keys but no values, because a role denies `kubernetes_values`. */
      readonly hidesValues: boolean;
    }
  | Refusal;

/** An object in a list. Without a namespace: cluster-scoped, or in the requested namespace. */
export interface KubeObject {
  readonly namespace: string | null;
  readonly name: string;
}

/** Streams to a container. Whatever the method, they run something: the verb is `create`. */
export const interactive: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward']);

/** The facts about a cluster that rules refer to. */
export type PolicyCluster = Labelled;

interface Found {
  readonly clause: Clause;
  readonly role: Role;
  readonly rule: KubeRule;
}

/** Cluster-scoped resources of Kubernetes itself. For others, a rule with namespaces shows objects that have one. */
const clusterScoped: ReadonlySet<string> = new Set([
  'nodes',
  'persistentvolumes',
  'componentstatuses',
  'apiservices.apiregistration.k8s.io',
  'certificatesigningrequests.certificates.k8s.io',
  'clusterrolebindings.rbac.authorization.k8s.io',
  'clusterroles.rbac.authorization.k8s.io',
  'csidrivers.storage.k8s.io',
  'csinodes.storage.k8s.io',
  'customresourcedefinitions.apiextensions.k8s.io',
  'flowschemas.flowcontrol.apiserver.k8s.io',
  'ingressclasses.networking.k8s.io',
  'mutatingwebhookconfigurations.admissionregistration.k8s.io',
  'priorityclasses.scheduling.k8s.io',
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io',
  'runtimeclasses.node.k8s.io',
  'storageclasses.storage.k8s.io',
  'validatingadmissionpolicies.admissionregistration.k8s.io',
  'validatingwebhookconfigurations.admissionregistration.k8s.io',
  'volumeattachments.storage.k8s.io',
]);

/** Names that a trait could contain but that must never come from one. */
const reserved = /^system:/;
const kubeName = /^[A-Za-z0-9][A-Za-z0-9:@._/-]{0,159}$/;

export function decideKube(subject: Subject, cluster: PolicyCluster, request: KubeRequest): KubeDecision {
  const { verb, namespace } = request;
  const what = `${verb} ${resourceName(request)}${namespace === null ? '' : ` in ${namespace}`} on ${cluster.name}`;
  const denying = rulesFor(subject, 'deny', cluster, request, 'touched');
  const denials = denying.filter(({ rule }) => deniesRequest(rule));
  const whole = rulesFor(subject, 'allow', cluster, request, 'whole');
  if (denials.length === 0 && whole.length > 0) return decision(subject, request, whole, denying, null, what);
  return (
    decidePart(subject, cluster, request, denying, what) ?? {
      allowed: false,
      reason: denials.length === 0 ? `no role of ${subject.user} allows ${what}` : `role ${denials[0]!.clause.role} denies ${what}`,
      because: denials[0]?.clause ?? null,
    }
  );
}

/** A list or watch of which rules allow some objects; null if none, or if the request is not a list. */
function decidePart(
  subject: Subject,
  cluster: PolicyCluster,
  request: KubeRequest,
  denying: readonly Found[],
  what: string,
): KubeDecision | null {
  if ((request.verb !== 'list' && request.verb !== 'watch') || request.subresource !== null) return null;
  const denials = denying.filter(({ rule }) => deniesRequest(rule));
  if (denials.some(({ rule }) => isFor(rule, request, 'whole'))) return null;
  // An object without a namespace is in none that a rule could name.
  if (request.namespace === null && clusterScoped.has(resourceName(request)) && denials.some(({ rule }) => rule.names.includes('*')))
    return null;
  const some = rulesFor(subject, 'allow', cluster, request, 'touched').filter(
    ({ rule }) => request.namespace !== null || !clusterScoped.has(resourceName(request)) || rule.namespaces.includes('*'),
  );
  if (some.length === 0) return null;
  // The answer is fetched once, as one user and its groups: nobody may see an object through the rights of a rule for
  // another user.
  const whole = some.filter(({ rule }) => isFor(rule, request, 'whole'));
  const identities = new Set(
    some.map(({ rule }) => JSON.stringify([namesOf(rule.users, subject, false), namesOf(rule.groups, subject, false)])),
  );
  if (whole.length === 0 && identities.size > 1)
    return {
      allowed: false,
      reason: `the roles of ${subject.user} name different users or groups for parts of ${what}: ask for one namespace or one name`,
      because: some[0]!.clause,
    };
  const shows = (object: KubeObject): boolean => {
    const own = { ...request, namespace: object.namespace ?? request.namespace, name: object.name };
    const one = request.resource === 'namespaces' && request.group === '' ? { ...own, namespace: object.name } : own;
    return some.some(({ rule }) => isFor(rule, one, 'whole')) && !denials.some(({ rule }) => isFor(rule, one, 'touched'));
  };
  return decision(subject, request, whole.length > 0 ? whole : some, denying, shows, what);
}

/** Given the matching rules: which user is passed on, if there is exactly one. */
function decision(
  subject: Subject,
  request: KubeRequest,
  allowing: readonly Found[],
  denying: readonly Found[],
  shows: ((object: KubeObject) => boolean) | null,
  what: string,
): KubeDecision {
  const first = allowing[0]!;
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
        : `the roles of ${subject.user} name ${users.length} users (${users.slice(0, 4).join(', ')}) for ${what}, but only one can be passed on`,
      because: denying[0]?.clause ?? first.clause,
    };
  }
  const roles = [...new Set(allowing.map(({ role }) => role))];
  return {
    allowed: true,
    by: first.clause.role,
    because: first.clause,
    impersonate: users[0] ?? kubeUserOf(subject),
    groups,
    forwarding: request.subresource === 'portforward' ? forwardingBy(roles, subject) : NO_FORWARDING,
    shows,
    terms: termsOf(roles),
    confirm:
      (runsSomething(request) && roles.some((role) => role.require_session_mfa)) ||
      (changesSomething(request) && roles.some((role) => role.require_write_mfa)),
    bodies:
      changesSomething(request) && roles.some(({ recording }) => recording.bodies === 'writes')
        ? { redact: [...new Set(subject.roles.flatMap(({ recording }) => recording.redact))] }
        : null,
    hidesValues:
      !answersText(request) &&
      isMarked(
        request,
        // Roles from an older authority lack the field.
        subject.roles.flatMap(({ deny }) => (deny.kubernetes_values as readonly string[] | undefined) ?? []),
      ),
  };
}

/** Whether a request is about a resource that the patterns name, with its group or without; its subresources are part of it. */
export function isMarked({ group, resource }: Pick<KubeRequest, 'group' | 'resource'>, patterns: readonly string[]): boolean {
  const full = resourceName({ group, resource, subresource: null });
  return patterns.some((pattern) => matchesPattern(pattern, full) || matchesPattern(pattern, resource));
}

/** Subresources that carry output or streams of a container rather than objects with values. */
function answersText(request: KubeRequest): boolean {
  return runsSomething(request) || (request.group === '' && request.resource === 'pods' && request.subresource === 'log');
}

/** A stream to a container, which is a session. */
function runsSomething({ subresource }: Pick<KubeRequest, 'subresource'>): boolean {
  return subresource !== null && interactive.has(subresource);
}

/** Groups whose objects are questions: `create` of one changes nothing (`kubectl auth can-i`, `auth whoami`). */
const reviews: ReadonlySet<string> = new Set(['authorization.k8s.io', 'authentication.k8s.io']);

function changesSomething({ verb, group, subresource }: KubeRequest): boolean {
  return !['get', 'list', 'watch'].includes(verb) && !(reviews.has(group) && subresource === null);
}

function forwardingBy(allowing: readonly Role[], { roles }: Subject): Forwarding {
  return forwardingOf(
    allowing.map((role) => grantOf(role.port_forwarding)).filter((grant) => grant !== null),
    roles.map(({ deny }) => denialOf(deny.port_forwarding)).filter((denial) => denial !== null),
  );
}

/**
 * The user that a cluster sees if roles name none. The prefix prevents collisions with names to which the cluster has given
 * rights.
 */
export function kubeUserOf({ user }: Pick<Subject, 'user'>): string {
  return `steno:${user}`;
}

/**
 * Whether the subject may use this cluster at all: discover its APIs, and see it in lists. Some rule must allow something on
 * it, and none may deny all of it.
 */
export function mayUseCluster(subject: Subject, cluster: PolicyCluster): boolean {
  const here = ({ rule }: Found): boolean => matchesSelector(rule.clusters, cluster);
  const whole = ({ rule }: Found): boolean =>
    deniesRequest(rule) && [rule.namespaces, rule.resources, rule.names, rule.verbs].every((patterns) => patterns.includes('*'));
  return rulesOf(subject, 'allow').some(here) && !rulesOf(subject, 'deny').some((found) => here(found) && whole(found));
}

function rulesOf({ roles }: Subject, effect: 'allow' | 'deny'): readonly Found[] {
  return inOrderOfNames(roles).flatMap((role) =>
    role[effect].kubernetes.map((rule, at) => ({ clause: { role: role.name, path: [effect, 'kubernetes', at] }, role, rule })),
  );
}

/** A denying rule with users or groups removes those and does not deny the request itself. */
function deniesRequest({ users, groups }: KubeRule): boolean {
  return users.length === 0 && groups.length === 0;
}

function rulesFor(
  subject: Subject,
  effect: 'allow' | 'deny',
  cluster: Labelled,
  request: KubeRequest,
  extent: 'whole' | 'touched',
): readonly Found[] {
  return rulesOf(subject, effect).filter(({ rule }) => matchesSelector(rule.clusters, cluster) && isFor(rule, request, extent));
}

/** `whole`: the rule covers everything in the request; `touched`: part of it. Identical for a request about one object. */
function isFor(rule: KubeRule, { verb, group, resource, subresource, namespace, name }: KubeRequest, extent: 'whole' | 'touched'): boolean {
  const full = resourceName({ group, resource, subresource });
  // `deployments` and `deployments.apps` both match; a subresource must be named together with its resource.
  const names = group === '' ? [full] : [full, subresource === null ? resource : `${resource}/${subresource}`];
  const place = (patterns: readonly string[], value: string | null): boolean =>
    value === null
      ? patterns.includes('*') || (extent === 'touched' && patterns.length > 0)
      : patterns.some((pattern) => matchesPattern(pattern, value));
  return (
    (rule.verbs.includes('*') || rule.verbs.includes(verb)) &&
    rule.resources.some((pattern) => names.some((text) => matchesPattern(pattern, text))) &&
    place(rule.namespaces, namespace) &&
    place(rule.names, name)
  );
}

/** `pods`, `pods/exec`, `deployments.apps/scale`. */
export function resourceName({ group, resource, subresource }: Pick<KubeRequest, 'group' | 'resource' | 'subresource'>): string {
  return `${resource}${group === '' ? '' : `.${group}`}${subresource === null ? '' : `/${subresource}`}`;
}

function namesOf(templates: readonly string[], person: Person, denying: boolean): readonly string[] {
  return templates.flatMap((text) => {
    const { expand = null } = parseTemplate(text) ?? {};
    if (expand === null) return [text];
    return expand(person).filter((name) => denying || (kubeName.test(name) && !reserved.test(name)));
  });
}

/** Equal, or starting with the text before the pattern's final `*`. */
export function matchesPattern(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : pattern === value;
}
