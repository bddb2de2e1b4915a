/**
 * Compares a role's document with the power of a user, whoever will hold the role: may the user write it? And has it become
 * narrower since somebody approved a grant of it?
 *
 * A *holder* is a set of roles, of one person or of anybody who holds them. Every allowing clause of the document must lie
 * within one clause of one role of a holder (policies never combine clauses of different roles), with terms at least as
 * strict, and denials of the holder must be in the document too, since its holders need not have the holder's other roles.
 * Two documents are compared clause by clause, by their text (`within.ts`): undecidable clauses count as lacking. Tested in
 * documents.test.ts, and as a property in authority/power/worlds.test.ts.
 */
import { isLogin } from '../../base/identity.js';
import { resourceKinds, resourceVerbs, sessionActions } from '../role.js';
import { isByMode } from '../session.js';
import type { ApproveRule, KubeRule, NodeSelector, RequestRule, ResourceKind, ResourceVerb, Role, SessionRule } from '../role.js';
import { administersEverything, mayAdminister } from '../administration.js';
import { isEmpty } from '../compiled.js';
import { denialOf, grantOf, isDenialWithin, isGrantWithin } from '../forwarding.js';
import type { ExpressionSubject } from '../label-expression.js';
import { parseTemplate } from '../login-template.js';
import type { Person } from '../login-template.js';
import { looserWatermark } from '../watermark.js';
import { differing, looserRole } from './terms.js';
import { asksForNodes, isTemplate, patternsWithin, patternWithin, readsUser, same, selectorWithin } from './within.js';

export interface Holder {
  readonly roles: readonly Role[];
  /** Null: anybody who holds both the document and these roles, so that expressions read the same facts about them. */
  readonly person: Person | null;
}

/**
 * Describes a permission of the document that no holder has, with its position; null if there is none. `before`: the document
 * that it replaces, whose denials and limits must all remain.
 */
export function lackingForRole(author: Holder, written: Role, before: Role | undefined): string | null {
  const holders: Holder[] = [author, ...(before === undefined ? [] : [{ roles: [before], person: null }])];
  return (before === undefined ? null : loosened(written, before)) ?? given(written, holders);
}

/** Whether the document gives nobody anything that the previous one did not give them. */
export function isNarrower(after: Role, before: Role): boolean {
  return loosened(after, before) === null && given(after, [{ roles: [before], person: null }]) === null;
}

/** Restrictions in `before` that the new document no longer has. */
function loosened(after: Role, before: Role): string | null {
  const lost = denials.find((kept) => !kept.holds({ roles: [before], person: null }, after));
  if (lost !== undefined) return `it no longer has what ${lost.field} of the role denied`;
  if (!deniesForwardings(before, after)) return 'it no longer denies all that deny.port_forwarding denied';
  if (before.deny.agent_forwarding && !after.deny.agent_forwarding) return 'it no longer has deny.agent_forwarding';
  const unknown = differing(after.deny, before.deny, [
    'nodes',
    'node_expression',
    'logins',
    'kubernetes',
    'sessions',
    'approve',
    'rules',
    'request',
    'port_forwarding',
    'agent_forwarding',
    'kubernetes_values',
  ]);
  if (unknown !== null) return `deny.${unknown} is another`;
  const uncovered = before.allow.request.filter(asksForNodes).some((rule) => !after.allow.request.some((kept) => same(kept, rule)));
  if (uncovered) return 'it no longer has a rule of allow.request on nodes, which may hide one of another role';
  if (looserWatermark(after.watermark, before.watermark)) return 'watermark is looser than it was';
  const looser = opensSessions(before) ? looserRole(after, before) : null;
  return looser === null ? null : `${looser} is looser than it was`;
}

function given(written: Role, holders: readonly Holder[]): string | null {
  const { allow } = written;
  for (const [index, login] of allow.logins.entries()) {
    const reaches = !isEmpty(allow.nodes) || allow.node_expression !== undefined;
    if (reaches && !holders.some((holder) => reachHeld(holder, written, login)))
      return `login ${login} on the nodes it selects (allow.logins[${index}])`;
  }
  for (const [index, rule] of allow.kubernetes.entries())
    if (!holders.some((holder) => kubeHeld(holder, written, rule))) return `what allow.kubernetes[${index}] allows`;
  for (const [place, rule] of sessionRules(written)) {
    const action = rule.actions.find((one) => !holders.some((holder) => sessionHeld(holder, written, rule, one)));
    if (action !== undefined) return `to ${action} the sessions of ${place}`;
  }
  for (const [index, rule] of allow.request.entries())
    if (!holders.some((holder) => requestHeld(holder, written, rule))) return `to ask for what allow.request[${index}] names`;
  for (const [index, rule] of allow.approve.entries())
    if (!holders.some((holder) => approveHeld(holder, written, rule))) return `to approve requests for what allow.approve[${index}] names`;
  if (administersEverything([written]) && !holders.some(({ roles }) => administersEverything(roles))) return 'to administer everything';
  const power = powersOf(written).find(({ kind, verb }) => !holders.some(({ roles }) => mayAdminister(roles, kind, verb)));
  if (power !== undefined) return `to ${power.verb} ${power.kind}`;
  const unknown =
    differing(allow, {}, ['nodes', 'node_expression', 'logins', 'kubernetes', 'sessions', 'approve', 'rules', 'request']) ??
    differing(written, {}, [
      'kind',
      'version',
      'name',
      'description',
      'max_ttl',
      'allow',
      'deny',
      'port_forwarding',
      'agent_forwarding',
      'max_session_length',
      'idle_timeout',
      'reconnect',
      'max_sessions',
      'disconnect_expired_cert',
      'require_session_mfa',
      'require_write_mfa',
      'moderation',
      'recording',
      'view',
      'watermark',
      'administer',
    ]);
  // A field that this comparison does not know; a test names it.
  return unknown === null || holders.some(({ roles }) => roles.some((role) => same(role, { ...written, name: role.name })))
    ? null
    : `what ${unknown} says`;
}

/** Denials of one field of roles. `holds`: whether every denial of the holder also denies the document's holders. */
interface Denials {
  readonly field: string;
  readonly holds: (holder: Holder, written: Role) => boolean;
}

const nodeDenials: Denials = {
  field: 'deny.nodes, deny.node_expression or deny.logins',
  holds: ({ roles, person }, { deny }) =>
    roles.every(
      (role) =>
        selectorWithin(role.deny.nodes, deny.nodes) &&
        (role.deny.node_expression === undefined ||
          (role.deny.node_expression === deny.node_expression && (person === null || !readsUser(role.deny.node_expression, 'node')))) &&
        (deny.logins.includes('*') || role.deny.logins.every((login) => deniesLogin(login, deny.logins, person))),
    ),
};

function deniesLogin(login: string, denied: readonly string[], person: Person | null): boolean {
  const expand = person === null ? null : (parseTemplate(login)?.expand ?? null);
  return expand === null ? denied.includes(login) : expand(person!).every((one) => denied.includes(one));
}

/** Lists of rules: each must be in the document unchanged, and mean the same for another person. */
const listed = <T>(field: string, of: (deny: Role['deny']) => readonly T[], isPersonal: (rule: T) => boolean): Denials => ({
  field: `deny.${field}`,
  holds: ({ roles, person }, { deny }) =>
    roles.every((role) =>
      of(role.deny).every((rule) => of(deny).some((kept) => same(kept, rule)) && (person === null || !isPersonal(rule))),
    ),
});
const kubeDenials = listed<KubeRule>(
  'kubernetes',
  ({ kubernetes }) => kubernetes,
  ({ users, groups }) => [...users, ...groups].some(isTemplate),
);
const kubeValueDenials = listed<string>(
  'kubernetes_values',
  ({ kubernetes_values }) => kubernetes_values,
  () => false,
);
const sessionDenials = listed<SessionRule>(
  'sessions',
  ({ sessions }) => sessions,
  ({ where }) => readsUser(where, 'session'),
);
const requestDenials = listed<Role['deny']['request'][number]>(
  'request',
  ({ request }) => request,
  () => false,
);
const approveDenials = listed<ApproveRule>(
  'approve',
  ({ approve }) => approve,
  ({ where }) => readsUser(where, 'request'),
);
const ruleDenials = listed<Role['deny']['rules'][number]>(
  'rules',
  ({ rules }) => rules,
  () => false,
);
const denials: readonly Denials[] = [
  nodeDenials,
  kubeDenials,
  kubeValueDenials,
  sessionDenials,
  requestDenials,
  approveDenials,
  ruleDenials,
];

/** Whether the role opens sessions, on nodes or in Kubernetes, to which its terms apply. */
function opensSessions({ allow }: Role): boolean {
  return allow.logins.length > 0 || allow.kubernetes.length > 0;
}

/** Whether the terms of `written` are at least as strict as those of every role of the holder that opens sessions. */
function termsHeld({ roles }: Holder, written: Role): boolean {
  const opening = roles.filter((role) => opensSessions(role) || role.allow.request.length > 0);
  return opening.every((role) => looserRole(written, role) === null) && forwardingLacking(opening, roles, written) === null;
}

/**
 * The kind of forwarding that `written` grants beyond the holder's roles: one role of `opening` must grant as much, and `written`
 * must deny everything that any role of `all` denies. Null if there is none.
 */
export function forwardingLacking(
  opening: readonly Role[],
  all: readonly Role[],
  written: Role,
): 'port forwardings' | 'agent forwarding' | null {
  const grant = grantOf(written.port_forwarding);
  if (grant !== null && written.deny.port_forwarding !== true) {
    const isGranted = opening.some((role) => {
      const held = grantOf(role.port_forwarding);
      return held !== null && isGrantWithin(grant, held);
    });
    if (!isGranted || !all.every((role) => deniesForwardings(role, written))) return 'port forwardings';
  }
  if (!written.agent_forwarding || written.deny.agent_forwarding) return null;
  return opening.some((role) => role.agent_forwarding) && !all.some(({ deny }) => deny.agent_forwarding) ? null : 'agent forwarding';
}

/** Whether `kept` denies every port forwarding that `role` denies. */
function deniesForwardings(role: Role, kept: Role): boolean {
  const [denied, still] = [denialOf(role.deny.port_forwarding), denialOf(kept.deny.port_forwarding)];
  return denied === null || (still !== null && isDenialWithin(denied, still));
}

function reachHeld(holder: Holder, written: Role, login: string): boolean {
  if (!nodeDenials.holds(holder, written) || !termsHeld(holder, written)) return false;
  return holder.roles.some((role) => nodesWithin(written.allow, role.allow, holder) && loginHeld(login, role.allow.logins, holder));
}

type Where = { readonly nodes: NodeSelector; readonly node_expression?: string | undefined };

function nodesWithin(inner: Where, outer: Where, { person }: Holder): boolean {
  const selected = !isEmpty(inner.nodes) && selectorWithin(inner.nodes, outer.nodes);
  const { node_expression: text } = outer;
  if (text === undefined) return selected || (same(outer.nodes, { '*': '*' }) && inner.node_expression !== undefined);
  return text === inner.node_expression && (person === null || !readsUser(text, 'node')) && (isEmpty(outer.nodes) || selected);
}

/** `*` stands for any login but root, and no template yields root. */
function loginHeld(login: string, logins: readonly string[], { person }: Holder): boolean {
  if (login !== 'root' && logins.includes('*')) return true;
  // For another person, a template yields another login.
  if (isTemplate(login)) return person === null && logins.includes(login);
  return (
    logins.includes(login) ||
    (person !== null &&
      login !== 'root' &&
      isLogin(login) &&
      logins.some((text) => parseTemplate(text)?.expand?.(person).includes(login) ?? false))
  );
}

function kubeHeld(holder: Holder, written: Role, rule: KubeRule): boolean {
  if (![kubeDenials, kubeValueDenials].every(({ holds }) => holds(holder, written)) || !termsHeld(holder, written)) return false;
  const names = (wanted: readonly string[], held: readonly string[]): boolean =>
    wanted.every((text) => (isTemplate(text) ? holder.person === null && held.includes(text) : held.includes(text)));
  return holder.roles.some(({ allow }) =>
    allow.kubernetes.some(
      (held) =>
        selectorWithin(rule.clusters, held.clusters) &&
        patternsWithin(rule.namespaces, held.namespaces) &&
        patternsWithin(rule.resources, held.resources) &&
        patternsWithin(rule.names, held.names) &&
        (held.verbs.includes('*') || rule.verbs.every((verb) => held.verbs.includes(verb))) &&
        names(rule.users, held.users) &&
        names(rule.groups, held.groups) &&
        differing(rule, held, ['clusters', 'namespaces', 'resources', 'names', 'verbs', 'groups', 'users']) === null,
    ),
  );
}

type PlacedRule = readonly [place: string, rule: SessionRule];

function sessionRules({ view, allow }: Role): readonly PlacedRule[] {
  const short: readonly PlacedRule[] =
    view === 'none' ? [] : [[`view: ${view}`, { actions: ['list', 'view', 'follow', 'export'], of: view, modes: [] }]];
  return [
    ...short,
    ...allow.sessions.map((rule, index): PlacedRule => [
      `allow.sessions[${index}]`,
      { ...rule, actions: rule.actions.includes('*') ? [...sessionActions] : rule.actions },
    ]),
  ];
}

function sessionHeld(holder: Holder, written: Role, rule: SessionRule, action: SessionRule['actions'][number]): boolean {
  if (!sessionDenials.holds(holder, written)) return false;
  // A watermark required by any role applies, whichever role permits viewing.
  if (showsRecordings(action) && holder.roles.some(({ watermark }) => looserWatermark(written.watermark, watermark))) return false;
  return holder.roles
    .flatMap(sessionRules)
    .some(
      ([, held]) =>
        held.actions.includes(action) &&
        (held.of === 'all' || rule.of === 'own') &&
        (!isByMode(action) || rule.modes.every((mode) => held.modes.includes(mode))) &&
        whereHeld(rule.where, held.where, 'session', holder) &&
        differing(rule, held, ['actions', 'of', 'where', 'modes']) === null,
    );
}

function showsRecordings(action: SessionRule['actions'][number]): boolean {
  return action === 'view' || action === 'follow' || action === 'export';
}

function whereHeld(wanted: string | undefined, held: string | undefined, about: ExpressionSubject, { person }: Holder): boolean {
  return held === undefined || (held === wanted && (person === null || !readsUser(held, about)));
}

function requestHeld(holder: Holder, written: Role, rule: RequestRule): boolean {
  // A grant for nodes is under the terms of the role whose rule permitted the request.
  if (!requestDenials.holds(holder, written)) return false;
  const rules = holder.roles
    .flatMap((role) => role.allow.request.map((held) => ({ held, role })))
    .filter(
      ({ held }) =>
        rule.max_duration <= held.max_duration &&
        rule.thresholds.approve >= held.thresholds.approve &&
        rule.thresholds.deny <= held.thresholds.deny &&
        differing(rule, held, ['roles', 'nodes', 'node_expression', 'logins', 'max_duration', 'thresholds']) === null,
    );
  if (!rule.roles.every((wanted) => rules.some(({ held }) => held.roles.some((pattern) => patternWithin(wanted, pattern))))) return false;
  if (!asksForNodes(rule)) return true;
  const counting = holder.roles.flatMap((role) => role.allow.request.filter(asksForNodes));
  if (counting.length > 1 && !same(counting, written.allow.request.filter(asksForNodes))) return false;
  const logins = rule.logins.length > 0 ? rule.logins : written.allow.logins;
  return (
    nodeDenials.holds(holder, written) &&
    termsHeld(holder, written) &&
    rules.some(({ held }) => nodesWithin(rule, held, holder)) &&
    logins.every((login) =>
      rules.some(
        ({ held, role }) =>
          nodesWithin(rule, held, holder) && loginHeld(login, held.logins.length > 0 ? held.logins : role.allow.logins, holder),
      ),
    )
  );
}

function approveHeld(holder: Holder, written: Role, rule: ApproveRule): boolean {
  if (!approveDenials.holds(holder, written)) return false;
  const rules = holder.roles
    .flatMap(({ allow }) => allow.approve)
    .filter((held) => whereHeld(rule.where, held.where, 'request', holder) && differing(rule, held, ['roles', 'nodes', 'where']) === null);
  return (
    rule.roles.every((wanted) => rules.some(({ roles }) => roles.some((pattern) => patternWithin(wanted, pattern)))) &&
    (isEmpty(rule.nodes) || rules.some(({ nodes }) => selectorWithin(rule.nodes, nodes)))
  );
}

function powersOf({ administer, allow }: Role): readonly { readonly kind: ResourceKind; readonly verb: ResourceVerb }[] {
  const all = [{ resources: administer ? (['*'] as const) : [], verbs: ['*'] as const }, ...allow.rules];
  const includes = <T extends string>(list: readonly (T | '*')[], wanted: T): boolean => list.includes(wanted) || list.includes('*');
  return all.flatMap(({ resources, verbs }) =>
    resourceKinds
      .filter((kind) => includes(resources, kind))
      .flatMap((kind) => resourceVerbs.filter((verb) => includes(verbs, verb)).map((verb) => ({ kind, verb }))),
  );
}
