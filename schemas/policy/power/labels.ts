/**
 * The access that a change of a node's labels opens: labels decide which roles give access to the node, who views its
 * recordings, who may request it and who may approve that. So a user who sets labels gives power over the node, and must have
 * that power: for each role that newly applies, its logins there, its forwardings as each of them, and terms no stricter than
 * the role's.
 *
 * If a rule also depends on the person, it is assumed to hold for somebody after the change and for nobody before, unless it
 * reads nothing that changes. Roles that administer everything are left out, since their holders can do everything anyway.
 * Tested in labels.test.ts.
 */
import { joinModes, sessionActions } from '../role.js';
import type { ApproveRule, JoinMode, NodeSelector, Role, SessionAction } from '../role.js';
import { administersEverything } from '../administration.js';
import { expressionOf, isEmpty, matchesSelector } from '../compiled.js';
import type { Labelled } from '../compiled.js';
import type { ExpressionSubject, Scope } from '../label-expression.js';
import { decide } from '../node.js';
import { isByMode, sessionScope } from '../session.js';
import type { Subject } from '../subject.js';
import { forwardingLacking } from './documents.js';
import { looserTerm } from './terms.js';
import { isTemplate, readsUser, same } from './within.js';

export interface Relabelling {
  /** Null: a node that did not exist, or a machine that was not known under this name. */
  readonly before: Labelled | null;
  readonly after: Labelled;
  /**
   * Where the author must have the opened access: on this node as it was, on a node with these labels, or, if it is unknown
   * which machine is behind the name, on every node.
   */
  readonly on: Labelled | 'every node';
}

/** Describes the access that the change opens and the author lacks; null if there is none. `roles`: all roles. */
export function lackingForLabels(author: Subject, roles: readonly Role[], change: Relabelling): string | null {
  if (administersEverything(author.roles)) return null;
  const known = roles.filter((role) => !administersEverything([role]));
  const { before, after } = change;
  // If a denial is lifted, everything that roles give on the node may have been denied by it.
  const freeing = known.find(({ deny }) => lifts(deny, change));
  const all = freeing === undefined ? null : missing(author, change.on, ['*', 'root'], null);
  if (all !== null) return `what is denied on ${after.name} as it was (role ${freeing!.name})`;
  // A rule on requesting the node that no longer holds may have hidden another.
  const uncovering =
    freeing !== undefined ||
    known.some(({ deny }) => deny.request.some(({ nodes }) => lifts({ nodes }, change))) ||
    (before !== null && known.some(({ allow }) => allow.request.some((rule) => opens(rule, { before: after, after: before }))));
  for (const role of known) {
    const lacking =
      reachOpened(role, author, change, freeing !== undefined) ??
      askingOpened(role, author, change, uncovering) ??
      reviewOpened(role, author, change) ??
      sessionsOpened(role, author, change);
    if (lacking !== null) return `${lacking} (role ${role.name})`;
  }
  return loosened(known, change);
}

/**
 * Describes terms that are lost: a role that no longer opens the node set terms for sessions that another role still opens, or that
 * may be requested by another role.
 */
function loosened(roles: readonly Role[], { before, after, on }: Relabelling): string | null {
  const closing = roles.filter(
    ({ allow }) =>
      allow.logins.length > 0 &&
      (before === null ? on === 'every node' && !isSure(allow, after) : opens(allow, { before: after, after: before })),
  );
  const holding = roles.filter(({ allow }) =>
    [...(allow.logins.length > 0 ? [allow] : []), ...allow.request].some((rule) => opens(rule, { before: null, after })),
  );
  for (const held of closing) {
    for (const role of holding) {
      const term = looserTerm(role, held);
      if (term !== null) return `sessions on ${after.name} without ${term} of role ${held.name} (role ${role.name})`;
    }
  }
  return null;
}

/** Whether the rule holds on the node for everybody. */
function isSure({ nodes, node_expression: text }: Where, node: Labelled): boolean {
  if (isEmpty(nodes) && text === undefined) return false;
  return (
    (isEmpty(nodes) || matchesSelector(nodes, node)) &&
    (text === undefined || (!isAboutOthers(text, 'node') && expressionOf(text, 'node').evaluate(scopeOf(node)) === true))
  );
}

/** `anew`: as if nobody had reached the node before. */
function reachOpened(role: Role, author: Subject, change: Relabelling, anew: boolean): string | null {
  const { allow } = role;
  const { after, on } = change;
  if (!(anew ? opens(allow, { before: null, after }) : !isEverywhere(allow) && opens(allow, change))) return null;
  const what = missing(author, on, allow.logins, role);
  return what === null ? null : `${what} on ${after.name}`;
}

/** `anew`: as if nobody could have requested the node before. */
function askingOpened(role: Role, author: Subject, change: Relabelling, anew: boolean): string | null {
  const { allow, deny } = role;
  const { after, on } = change;
  for (const rule of allow.request) {
    if (!(anew ? opens(rule, { before: null, after }) : !isEverywhere(rule) && opens(rule, change))) continue;
    const what = missing(author, on, rule.logins.length > 0 ? rule.logins : allow.logins, role);
    if (what !== null) return `to ask for ${what} on ${after.name}`;
  }
  const isDenied = deny.request.some(({ nodes }) => lifts({ nodes }, change));
  return isDenied && missing(author, on, ['*', 'root'], null) !== null ? `to ask for ${after.name}` : null;
}

function reviewOpened({ allow, deny }: Role, author: Subject, change: Relabelling): string | null {
  const { after, on } = change;
  const isAbout = ({ nodes }: ApproveRule): boolean => on !== 'every node' && matchesSelector(nodes, on);
  /** `kept`: denials that every holder of the rule also has. */
  const isHeld = (where: string | undefined, kept: readonly ApproveRule[]): boolean =>
    !author.roles.some((role) => role.deny.approve.some((rule) => isAbout(rule) && !kept.some((one) => same(one, rule)))) &&
    author.roles.some((role) =>
      role.allow.approve.some(
        (rule) => isAbout(rule) && (rule.where === undefined || (rule.where === where && !readsUser(rule.where, 'request'))),
      ),
    );
  const isLacking =
    allow.approve.some((rule) => !isEverywhere(rule) && opens({ nodes: rule.nodes }, change) && !isHeld(rule.where, deny.approve)) ||
    (deny.approve.some((rule) => lifts({ nodes: rule.nodes }, change)) && !isHeld(undefined, []));
  return isLacking ? `to approve requests for ${after.name}` : null;
}

function sessionsOpened({ allow, deny }: Role, author: Subject, change: Relabelling): string | null {
  const { after } = change;
  for (const [effect, rules] of [
    ['allow', allow.sessions],
    ['deny', deny.sessions],
  ] as const) {
    for (const { where, actions, modes } of rules) {
      if (where === undefined || !touches(where, 'session', change)) continue;
      // Conditions on the session itself differ from session to session.
      if (effect === 'allow' && !isAboutOthers(where, 'session') && expressionOf(where, 'session').evaluate(scopeOf(after)) !== true)
        continue;
      const action = sessionActions.find(
        (one) => (actions.includes(one) || actions.includes('*')) && !hasAllSessions(author, one, effect === 'allow' ? modes : joinModes),
      );
      if (action !== undefined) return `to ${action} the sessions of ${after.name}`;
    }
  }
  return null;
}

function hasAllSessions(author: Subject, action: SessionAction, modes: readonly JoinMode[]): boolean {
  const joins = (mode: JoinMode): boolean =>
    author.roles.some(({ allow }) =>
      allow.sessions.some(
        (rule) =>
          rule.of === 'all' &&
          rule.where === undefined &&
          rule.modes.includes(mode) &&
          (rule.actions.includes(action) || rule.actions.includes('*')),
      ),
    );
  return sessionScope(author, action) === 'all' && (!isByMode(action) || modes.every(joins));
}

type Where = { readonly nodes: NodeSelector; readonly node_expression?: string | undefined };

/** Whether the rule applies to every node, regardless of labels. */
function isEverywhere({ nodes, node_expression: text }: Where): boolean {
  return same(nodes, { '*': '*' }) && text === undefined;
}

/** Whether the rule may hold for somebody after the change, and did not hold for everybody before it. */
function opens({ nodes, node_expression: text }: Where, { before, after }: Pick<Relabelling, 'before' | 'after'>): boolean {
  if (isEmpty(nodes) && text === undefined) return false;
  const selects = (node: Labelled): boolean => isEmpty(nodes) || matchesSelector(nodes, node);
  const evaluated = (node: Labelled): boolean | undefined =>
    text === undefined ? true : expressionOf(text, 'node').evaluate(scopeOf(node));
  const personal = text !== undefined && isAboutOthers(text, 'node');
  if (!selects(after) || (!personal && evaluated(after) !== true)) return false;
  if (before === null) return true;
  if (personal) return !selects(before) || touches(text, 'node', { before, after });
  return !selects(before) || evaluated(before) !== true;
}

/** Whether a denial that applied before may no longer apply. */
function lifts({ nodes, node_expression: text }: Where, { before, after }: Relabelling): boolean {
  // A machine under a new name may be one that is denied under another name.
  if (!isEmpty(nodes) && (before === null || matchesSelector(nodes, before)) && !matchesSelector(nodes, after)) return true;
  if (text === undefined) return false;
  if (before !== null && !touches(text, 'node', { before, after })) return false;
  if (isAboutOthers(text, 'node')) return true;
  const truth = (node: Labelled): boolean | undefined => expressionOf(text, 'node').evaluate(scopeOf(node));
  return (before === null || truth(before) !== false) && truth(after) === false;
}

/**
 * What the author lacks for using any of the logins on the node as the role permits: the login, its forwardings, or terms as
 * loose. Null for nothing. `role`: null for the logins alone.
 */
function missing(author: Subject, on: Labelled | 'every node', logins: readonly string[], role: Role | null): string | null {
  for (const login of logins) {
    const opening = rolesOpening(author, on, isTemplate(login) ? '*' : login);
    if (opening.length === 0) return `login ${login}`;
    if (role === null) continue;
    const forwarding = forwardingLacking(opening, author.roles, role);
    if (forwarding !== null) return `${forwarding} as login ${login}`;
    for (const held of opening) {
      const term = looserTerm(role, held);
      if (term !== null) return `login ${login} without ${term} of your role ${held.name}`;
    }
  }
  return null;
}

/** Roles that give the author this login there; none if something denies it. `*`: any login but root. */
function rolesOpening(author: Subject, on: Labelled | 'every node', login: string): readonly Role[] {
  if (login === '*' && author.roles.some(({ deny }) => deny.logins.length > 0)) return [];
  if (on !== 'every node') {
    const decision = decide(author, on, login);
    return decision.allowed ? author.roles.filter(({ name }) => decision.roles.includes(name)) : [];
  }
  const isKept = author.roles.some(({ deny }) => !isEmpty(deny.nodes) || deny.node_expression !== undefined || deny.logins.length > 0);
  return isKept
    ? []
    : author.roles.filter(
        ({ allow }) => isEverywhere(allow) && (allow.logins.includes(login) || (login !== 'root' && allow.logins.includes('*'))),
      );
}

/** Whether the expression reads anything that the change alters. */
function touches(text: string, about: ExpressionSubject, { before, after }: Pick<Relabelling, 'before' | 'after'>): boolean {
  if (before === null) return true;
  const labelOf = ({ labels }: Labelled, key: string): string | undefined => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  return [...expressionOf(text, about).reads].some((name) =>
    name === 'labels'
      ? !same(Object.entries(before.labels).sort(), Object.entries(after.labels).sort())
      : name.startsWith('labels.')
        ? labelOf(before, name.slice(7)) !== labelOf(after, name.slice(7))
        : name === 'node.name' && before.name !== after.name,
  );
}

/** Whether the expression depends on more than the node. */
function isAboutOthers(text: string, about: ExpressionSubject): boolean {
  return [...expressionOf(text, about).reads].some((name) => !name.startsWith('labels') && name !== 'node.name');
}

function scopeOf({ name, labels }: Labelled): Scope {
  return { user: { name: '', roles: [], traits: {} }, labels, node: { name } };
}
