/**
 * The policy on sessions and their recordings: who may list, view, follow, export, join and moderate which, and invite others.
 *
 * `view: all` and `view: own` are short for rules that list, view, follow and export. Labels are those of the node when the
 * session began. If they are unknown, a rule about labels is unknown, so it allows nothing and denies everything.
 * `decideSession` decides about one session and gives the reason; `sessionCondition` is the same for queries. Tested in
 * session.test.ts and session-condition.test.ts.
 */
import type { JoinMode, Role, SessionAction, SessionRule } from './role.js';
import { expressionOf, scopeOf } from './compiled.js';
import { earlier } from './session-condition.js';
import type { Condition, TextTerm } from './session-condition.js';
import { inOrderOfNames } from './subject.js';
import type { Subject, Verdict } from './subject.js';

/** The facts about a session that rules can refer to. */
export interface SessionTarget {
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly kind: string;
  /** ms since 1970. */
  readonly started_at?: number;
}

/** How much of the list a user may see; `some`: each session must be decided by itself. */
export type SessionScope = 'all' | 'own' | 'some' | 'none';

interface Rule {
  readonly role: string;
  readonly path: readonly (string | number)[];
  readonly rule: SessionRule;
}

const SEEING: readonly SessionAction[] = ['list', 'view', 'follow', 'export'];

/** `labels`: labels of the session's node when the session began, null if unknown. */
export function decideSession(
  subject: Subject,
  action: SessionAction,
  session: SessionTarget,
  labels: Readonly<Record<string, string>> | null,
  mode?: JoinMode,
): Verdict {
  const { allow, deny } = rulesOf(subject.roles, action);
  const user = ownerOf(session, subject);
  const scope = { ...scopeOf(subject, null), labels, session: { ...session, user } };
  const holds = ({ rule }: Rule, unknown: boolean): boolean =>
    (rule.of === 'all' || user === subject.user) &&
    (rule.where === undefined || (expressionOf(rule.where, 'session').evaluate(scope) ?? unknown));
  const denial = deny.find((one) => holds(one, true));
  if (denial !== undefined)
    return { allowed: false, reason: `${subject.user} may not ${action} this session: role ${denial.role} denies it`, because: denial };
  const grant = allow.find((one) => holds(one, false) && (!isByMode(action) || mode === undefined || one.rule.modes.includes(mode)));
  if (grant !== undefined) return { allowed: true, because: grant };
  return {
    allowed: false,
    reason: `${subject.user} may not ${action} this session${mode === undefined ? '' : ` as ${mode}`}: none of their roles permits it`,
    because: null,
  };
}

/** Whether rules allow this action only in the modes that they name. */
export function isByMode(action: SessionAction | '*'): boolean {
  return action === 'join' || action === 'invite';
}

/** The condition for sessions on which `decideSession` allows the action; the two always agree. */
export function sessionCondition(subject: Subject, action: SessionAction): Condition {
  const { allow, deny } = rulesOf(subject.roles, action);
  const owner: TextTerm = { kind: 'user', marked: subject.since === undefined ? null : { user: subject.user, before: subject.since } };
  const scope = { user: scopeOf(subject, null).user, owner };
  const own: Condition = { kind: 'equal', a: owner, b: { kind: 'text', text: subject.user } };
  const holds = ({ rule }: Rule, unknown: boolean): Condition => {
    const where: readonly Condition[] =
      rule.where === undefined ? [] : [{ kind: 'assume', of: expressionOf(rule.where, 'session').condition(scope), otherwise: unknown }];
    return { kind: 'all', of: [...(rule.of === 'all' ? [] : [own]), ...where] };
  };
  return {
    kind: 'all',
    of: [
      { kind: 'any', of: allow.map((rule) => holds(rule, false)) },
      { kind: 'not', of: { kind: 'any', of: deny.map((rule) => holds(rule, true)) } },
    ],
  };
}

/** The owner of the session as rules see it; a session of an earlier user of the subject's name does not belong to the subject. */
export function ownerOf({ user, started_at: at }: SessionTarget, subject: Subject): string {
  const old = user === subject.user && subject.since !== undefined && (at === undefined || at < subject.since);
  return old ? earlier(user) : user;
}

/** For queries: whether rows have to be filtered one by one, and whether to ask at all. */
export function sessionScope(subject: Subject, action: SessionAction): SessionScope {
  const { allow, deny } = rulesOf(subject.roles, action);
  if (deny.some(({ rule }) => rule.of === 'all' && rule.where === undefined)) return 'none';
  if (allow.length === 0) return 'none';
  const onlyOwn = allow.every(({ rule }) => rule.of === 'own');
  if (deny.length > 0) return onlyOwn && deny.some(({ rule }) => rule.where === undefined) ? 'none' : 'some';
  if (allow.some(({ rule }) => rule.of === 'all' && rule.where === undefined)) return 'all';
  // Not all sessions under the name are theirs.
  if (subject.since !== undefined) return 'some';
  return onlyOwn && allow.some(({ rule }) => rule.where === undefined) ? 'own' : 'some';
}

type Rules = { readonly allow: readonly Rule[]; readonly deny: readonly Rule[] };
const known = new WeakMap<readonly Role[], Map<SessionAction, Rules>>();

function rulesOf(roles: readonly Role[], action: SessionAction): Rules {
  const ofRoles = known.get(roles) ?? new Map<SessionAction, Rules>();
  known.set(roles, ofRoles);
  const made = ofRoles.get(action) ?? makeRules(roles, action);
  ofRoles.set(action, made);
  return made;
}

function makeRules(roles: readonly Role[], action: SessionAction): Rules {
  const sorted = inOrderOfNames(roles);
  const about = ({ actions }: SessionRule): boolean => actions.includes(action) || actions.includes('*');
  const written =
    (effect: 'allow' | 'deny') =>
    (role: Role): Rule[] =>
      role[effect].sessions.flatMap((rule, at) => (about(rule) ? [{ role: role.name, path: [effect, 'sessions', at], rule }] : []));
  const short = (role: Role): Rule[] =>
    role.view === 'none' || !SEEING.includes(action)
      ? []
      : [{ role: role.name, path: ['view'], rule: { actions: [...SEEING], of: role.view, modes: [] } }];
  return { allow: sorted.flatMap((role) => [...short(role), ...written('allow')(role)]), deny: sorted.flatMap(written('deny')) };
}
