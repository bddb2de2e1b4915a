/**
 * The policy on nodes: a pure function that decides whether roles admit a user, and by which rule of which role.
 *
 * In all modules of this folder, deny wins over allow, anything not allowed is denied, and the order of roles does not
 * matter. Of the allowing roles, the strictest limits and the widest forwarding apply. Every answer names the role and the
 * position in its document, so that `steno access check` can show the line. `decide` is called for every session, by the
 * gateway and by the authority, and again for live sessions when roles change. Tested in node.test.ts, as a table and as
 * properties.
 */
import { isLogin } from '../base/identity.js';
import { streamsModes, unechoedModes } from '../recording/line.js';
import { administersEverything } from './administration.js';
import { forwardingOf, grantOf, isAnyForwarding } from './forwarding.js';
import type { Forwarding } from './forwarding.js';
import type { RecordingMode } from '../recording/line.js';
import type { KernelEventClass, ModerationTerm, NodeRecord, Role } from './role.js';
import { indexOf, isEmpty, matchesSelector, rolesNaming, scopeOf } from './compiled.js';
import type { CompiledRole, Denial, Labelled, PolicyIndex } from './compiled.js';
import type { Scope } from './label-expression.js';
import type { Person } from './login-template.js';
import type { Clause, Refusal, Subject } from './subject.js';

export interface SessionLimits {
  /** Seconds; null: none. */
  readonly maxSessionLength: number | null;
  readonly idleTimeout: number | null;
  /** Concurrent connections of the user, over all gateways. */
  readonly maxSessions: number | null;
  readonly disconnectExpiredCert: boolean;
  /** How long, in seconds, a terminal in the page waits for a lost network; null: not at all. */
  readonly reconnect: number | null;
}

/** Participants that the role demands. */
export interface Moderation extends ModerationTerm {
  readonly role: string;
}

export interface EnhancedRecording {
  readonly mode: 'off' | 'best_effort' | 'strict';
  readonly classes: readonly KernelEventClass[];
}

/** The terms of a session, from the roles that allow it. */
export interface SessionTerms {
  readonly recording: RecordingMode;
  readonly enhanced: EnhancedRecording;
  readonly limits: SessionLimits;
  /** Whether the session needs a second factor. */
  readonly sessionMfa: boolean;
  /** Every one of these must be met before a session starts; empty: none. */
  readonly moderation: readonly Moderation[];
}

export interface Allowed extends SessionTerms {
  readonly allowed: true;
  /** The first allowing role by name; all of them are in `roles`. */
  readonly by: string;
  readonly roles: readonly string[];
  /** The clauses of `by` that match the node and the login. */
  readonly because: readonly [node: Clause, login: Clause];
  /** Whether anything of `forwarding` is allowed. */
  readonly portForwarding: boolean;
  readonly forwarding: Forwarding;
  readonly agentForwarding: boolean;
}

export type Decision = Allowed | Refusal;

/** The facts about a node that rules refer to. */
export type PolicyNode = Pick<NodeRecord, 'name' | 'labels' | 'owner_logins'>;

/** Whether the subject may use `login` on `node`. */
export function decide(subject: Subject, node: PolicyNode, login: string): Decision {
  const index = indexOf(subject.roles);
  const scope = scopeOf(subject, node);
  const denial = deniedNode(index, scope, node) ?? deniedLogin(index, subject, login);
  if (denial !== null) {
    const what = denial.path[1] === 'logins' ? `login ${login}` : `node ${node.name}`;
    return { allowed: false, reason: `role ${denial.role} denies ${what}`, because: denial };
  }
  const owner = refuseOwner(subject, node, login);
  if (owner !== null) return { allowed: false, reason: owner, because: null };
  const templates = matchingTemplates(index, subject, login);
  const { places, everywhere } = rolesNaming(index, login);
  const here: CompiledRole[] = [];
  index.allow.visit(node, (one) => {
    if (loginAt(one, places, templates) !== -1 && allowsNode(one, node, scope)) here.push(one);
  });
  if (templates.size > 0)
    for (const one of index.everywhere) if (places[one.order] === -1 && loginAt(one, places, templates) !== -1) here.push(one);
  // If no other role matches, the answer is the same for every node.
  const known = here.length === 0 ? sameForAll.get(everywhere) : undefined;
  if (known !== undefined) return known;
  const allowing = inOrder(everywhere, here);
  if (allowing.length === 0)
    return { allowed: false, reason: `no role of ${subject.user} allows login ${login} on node ${node.name}`, because: null };
  const decision = combine(index, allowing, loginAt(allowing[0]!, places, templates));
  if (here.length === 0) sameForAll.set(everywhere, decision);
  return decision;
}

/**
 * Why this login is refused whatever roles allow: through the account that runs Steno, and through root, one could sign as
 * any user and alter stored data. Null for users who already have all power over Steno.
 */
export function refuseOwner({ roles }: Pick<Subject, 'roles'>, { name, owner_logins: owners }: PolicyNode, login: string): string | null {
  if (owners === undefined || !owners.includes(login) || administersEverything(roles)) return null;
  return `login ${login} of node ${name} owns this Steno, so it is for those who administer everything`;
}

/** Cached results for sets of roles without conditions on the node that name the login (`rolesNaming`). */
const sameForAll = new WeakMap<readonly CompiledRole[], Allowed>();

/** Merges both in the order of roles; `first` is already sorted. */
function inOrder(first: readonly CompiledRole[], second: CompiledRole[]): readonly CompiledRole[] {
  second.sort((a, b) => a.order - b.order);
  if (first.length === 0) return second;
  const merged: CompiledRole[] = [];
  let next = 0;
  for (const one of first) {
    while (next < second.length && second[next]!.order < one.order) merged.push(second[next++]!);
    merged.push(one);
  }
  while (next < second.length) merged.push(second[next++]!);
  return merged;
}

/** Whether the subject may use any login at all on this node; lists of nodes show these. */
export function mayReach(subject: Subject, node: PolicyNode): boolean {
  return reachableLogins(subject, node).length > 0;
}

export function reachableNodes<T extends PolicyNode>(subject: Subject, nodes: readonly T[]): readonly T[] {
  return nodes.filter((node) => mayReach(subject, node));
}

/** The logins available to the subject on a node, sorted; `*` for any but root. */
export function reachableLogins(subject: Subject, node: PolicyNode): readonly string[] {
  const index = indexOf(subject.roles);
  if (index.denyAnyLogin !== undefined) return [];
  const scope = scopeOf(subject, node);
  const logins = new Set<string>();
  const add = (one: CompiledRole): void => {
    if (one.role.allow.logins.length > 0 && allowsNode(one, node, scope)) for (const login of loginsOfRole(one, subject)) logins.add(login);
  };
  for (const one of index.everywhere) add(one);
  index.allow.visit(node, add);
  if (logins.size === 0 || deniedNode(index, scope, node) !== null) return [];
  return [...logins]
    .filter((login) => login === '*' || (deniedLogin(index, subject, login) === null && refuseOwner(subject, node, login) === null))
    .sort();
}

/** Every login named by any of the roles, with templates filled in and `*` if one allows any; sorted. */
export function loginsOf(subject: Subject): readonly string[] {
  const logins = new Set(indexOf(subject.roles).roles.flatMap((one) => loginsOfRole(one, subject)));
  return [...logins].sort();
}

/** Templates yield neither root nor invalid logins: an identity provider is not trusted with more. */
function loginsOfRole({ allowLogins }: CompiledRole, person: Person): readonly string[] {
  return [
    ...allowLogins.literal.keys(),
    ...allowLogins.templates.flatMap(({ expand }) => expand(person).filter((login) => login !== 'root' && isLogin(login))),
  ];
}

function loginAt({ order, allowLogins }: CompiledRole, places: Int16Array, templates: ReadonlySet<string>): number {
  const place = places[order]!;
  if (place !== -1 || templates.size === 0) return place;
  return allowLogins.templates.find(({ text }) => templates.has(text))?.at ?? -1;
}

const NO_TEMPLATES: ReadonlySet<string> = new Set();

function matchingTemplates(index: PolicyIndex, person: Person, login: string): ReadonlySet<string> {
  if (login === 'root' || index.allowTemplates.size === 0 || !isLogin(login)) return NO_TEMPLATES;
  const found = new Set<string>();
  for (const [text, expand] of index.allowTemplates) if (expand(person).includes(login)) found.add(text);
  return found;
}

function allowsNode({ role, everywhere, allowExpression }: CompiledRole, node: Labelled, scope: Scope): boolean {
  if (everywhere) return true;
  const { nodes } = role.allow;
  if (allowExpression === undefined) return matchesSelector(nodes, node);
  return (isEmpty(nodes) || matchesSelector(nodes, node)) && allowExpression.evaluate(scope) === true;
}

function deniedNode(index: PolicyIndex, scope: Scope, node: Labelled): Clause | null {
  let found: string | undefined;
  index.denyNodes.visit(node, ({ role }) => {
    if ((found === undefined || role.name < found) && matchesSelector(role.deny.nodes, node)) found = role.name;
  });
  if (found !== undefined) return { role: found, path: ['deny', 'nodes'] };
  // Unknown denies too: a node whose labels do not decide is not let through.
  return clauseOf(index.denyExpressions.find(({ expression }) => expression.evaluate(scope) !== false));
}

function deniedLogin(index: PolicyIndex, person: Person, login: string): Clause | null {
  const denial = index.denyAnyLogin ?? index.denyLogins.get(login);
  if (denial !== undefined) return clauseOf(denial);
  for (const template of index.denyTemplates.values()) if (template.expand(person).includes(login)) return clauseOf(template);
  return null;
}

function clauseOf(denial: Denial | undefined): Clause | null {
  return denial === undefined ? null : { role: denial.role, path: denial.path };
}

/** `allowing`: ordered by name; `at`: index of the matching login of the first. */
function combine(index: PolicyIndex, allowing: readonly CompiledRole[], at: number): Allowed {
  const { name, allow } = allowing[0]!.role;
  const distinct = new Map(allowing.map(({ role, options }) => [options, role]));
  const roles = [...distinct.values()];
  const grants = roles.map((role) => grantOf(role.port_forwarding)).filter((grant) => grant !== null);
  const forwarding = forwardingOf(grants, index.denyForwarding);
  return {
    allowed: true,
    by: name,
    roles: allowing.map(({ role }) => role.name),
    because: [
      { role: name, path: ['allow', isEmpty(allow.nodes) ? 'node_expression' : 'nodes'] },
      { role: name, path: ['allow', 'logins', at] },
    ],
    ...termsOf(roles),
    portForwarding: isAnyForwarding(forwarding),
    forwarding,
    agentForwarding: !index.denyAgentForwarding && roles.some((role) => role.agent_forwarding),
  };
}

/** The terms of a session under these roles: the strictest limits, the most recording. */
export function termsOf(roles: readonly Role[]): SessionTerms {
  let strict = false,
    streams = 0,
    unechoed = 0,
    limit = 0,
    mfa = false,
    expired = false;
  let length: number | null = null,
    idle: number | null = null,
    sessions: number | null = null;
  let enhanced = 0;
  const classes = new Set<KernelEventClass>();
  const moderation: Moderation[] = [];
  // A role without the setting does not let a terminal wait, and the strictest role counts.
  const reconnect = roles.length === 0 ? 0 : Math.min(...roles.map((role) => role.reconnect ?? 0));
  for (const role of roles) {
    strict ||= role.recording.mode === 'strict';
    streams = Math.max(streams, streamsModes.indexOf(role.recording.streams));
    unechoed = Math.max(unechoed, unechoedModes.indexOf(role.recording.unechoed));
    if (role.recording.limit > limit) limit = role.recording.limit;
    mfa ||= role.require_session_mfa;
    if (role.moderation !== undefined) moderation.push({ ...role.moderation, role: role.name });
    expired ||= role.disconnect_expired_cert;
    length = least(length, role.max_session_length);
    idle = least(idle, role.idle_timeout);
    sessions = least(sessions, role.max_sessions);
    enhanced = Math.max(enhanced, enhancedModes.indexOf(role.recording.enhanced.mode));
    if (role.recording.enhanced.mode !== 'off') for (const known of role.recording.enhanced.classes) classes.add(known);
  }
  return {
    recording: {
      mode: strict ? 'strict' : 'best_effort',
      streams: streamsModes[streams]!,
      limit,
      ...(unechoed === 0 ? {} : { unechoed: unechoedModes[unechoed]! }),
    },
    enhanced: { mode: enhancedModes[enhanced]!, classes: [...classes].sort() },
    limits: {
      ...{ maxSessionLength: length, idleTimeout: idle, maxSessions: sessions, disconnectExpiredCert: expired },
      reconnect: reconnect === 0 ? null : reconnect,
    },
    sessionMfa: mfa,
    moderation,
  };
}

const enhancedModes = ['off', 'best_effort', 'strict'] as const;

function least(a: number | null, b: number | undefined): number | null {
  return b === undefined ? a : a === null || b < a ? b : a;
}
