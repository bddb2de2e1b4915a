/**
 * Roles prepared for decisions: expressions and templates are compiled once, and rules are indexed by the labels and logins
 * they refer to.
 *
 * An index is built once per array of roles and kept as long as the array (`indexOf`); arrays must not be modified. Tested
 * in node.test.ts.
 */
import { denialOf } from './forwarding.js';
import type { ForwardDenial } from './forwarding.js';
import { compileExpression } from './label-expression.js';
import type { Expression, ExpressionSubject, Scope } from './label-expression.js';
import { parseTemplate } from './login-template.js';
import type { Person } from './login-template.js';
import type { NodeSelector, Role } from './role.js';
import { inOrderOfNames } from './subject.js';
import type { Subject } from './subject.js';

export interface Labelled {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

const NO_LABELS: readonly string[] = [];

/** Compiled expressions by subject and text, so that a rule shared by many roles is compiled once. Bounded. */
const compiled = new Map<string, Expression>();
const MAX_COMPILED = 20_000;

export function expressionOf(text: string, about: ExpressionSubject): Expression {
  const key = `${about} ${text}`;
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const made = compileExpression(text, about);
  if (compiled.size >= MAX_COMPILED) compiled.clear();
  compiled.set(key, made);
  return made;
}

/** A label of a node; `name` counts as one. */
function labelOf(node: Labelled, key: string): string | undefined {
  return key === 'name' ? node.name : Object.hasOwn(node.labels, key) ? node.labels[key] : undefined;
}

/** An empty selector matches nothing: forgetting to select nodes must not select all of them. */
export function matchesSelector(wanted: NodeSelector, node: Labelled): boolean {
  let some = false;
  for (const key in wanted) {
    some = true;
    const values = wanted[key]!;
    if (key === '*') {
      if (values !== '*') return false;
      continue;
    }
    const actual = labelOf(node, key);
    if (actual === undefined) return false;
    if (typeof values === 'string' ? values !== '*' && values !== actual : !values.includes(actual) && !values.includes('*')) return false;
  }
  return some;
}

/** An index of things that apply to nodes, by one label that each requires. */
class NodeIndex<T> {
  readonly #byValue = new Map<string, Map<string, T[]>>();
  readonly #byKey = new Map<string, T[]>();
  readonly #always: T[] = [];

  /** `needs`: conditions beyond the selector that must hold for a match. */
  add(selector: NodeSelector, needs: Expression['needs'], thing: T): void {
    const wanted = [
      ...Object.entries(selector)
        .filter(([key]) => key !== '*')
        .map(([label, value]) => ({ label, values: typeof value === 'string' ? [value] : value })),
      // In a selector `name` is the node's name; in an expression it is a label like any other.
      ...needs.filter(({ label }) => label !== 'name'),
    ];
    const narrow = wanted.filter(({ values }) => !values.includes('*')).sort((a, b) => a.values.length - b.values.length)[0];
    if (narrow !== undefined) {
      const ofKey = this.#byValue.get(narrow.label) ?? this.#byValue.set(narrow.label, new Map<string, T[]>()).get(narrow.label)!;
      for (const value of new Set(narrow.values)) push(ofKey, value, thing);
    } else if (wanted[0] !== undefined) push(this.#byKey, wanted[0].label, thing);
    else this.#always.push(thing);
  }

  /** Calls `visit` once for everything that may match the node. */
  visit(node: Labelled, visit: (thing: T) => void): void {
    for (const thing of this.#always) visit(thing);
    for (const [key, ofKey] of this.#byValue) {
      const value = labelOf(node, key);
      if (value !== undefined) for (const thing of ofKey.get(value) ?? (NO_LABELS as readonly never[])) visit(thing);
    }
    for (const [key, things] of this.#byKey) if (labelOf(node, key) !== undefined) for (const thing of things) visit(thing);
  }
}

/** The logins named by a list of patterns. */
export interface LoginPatterns {
  readonly literal: ReadonlyMap<string, number>;
  readonly templates: readonly { readonly at: number; readonly text: string; readonly expand: (person: Person) => readonly string[] }[];
}

function loginPatterns(patterns: readonly string[]): LoginPatterns {
  const literal = new Map<string, number>();
  const templates: { at: number; text: string; expand: (person: Person) => readonly string[] }[] = [];
  patterns.forEach((text, at) => {
    const { expand = null } = parseTemplate(text) ?? {};
    if (expand !== null) templates.push({ at, text, expand });
    else if (!literal.has(text)) literal.set(text, at);
  });
  return { literal, templates };
}

export interface CompiledRole {
  readonly role: Role;
  /** Position in order of role names. */
  readonly order: number;
  /** Roles with the same value have identical limits, recording and forwarding options. */
  readonly options: number;
  readonly allowLogins: LoginPatterns;
  readonly allowExpression: Expression | undefined;
  /** Whether it places no condition on the node. */
  readonly everywhere: boolean;
}

export interface Denial {
  readonly role: string;
  readonly path: readonly (string | number)[];
}

export interface PolicyIndex {
  /** By name. */
  readonly roles: readonly CompiledRole[];
  readonly names: readonly string[];
  /** Roles without conditions on the node; `allow` has the others. */
  readonly everywhere: readonly CompiledRole[];
  readonly allow: NodeIndex<CompiledRole>;
  /** By login; for `rolesNaming`. */
  readonly naming: Map<string, RolesNaming>;
  /** Distinct templates of allowing logins. */
  readonly allowTemplates: ReadonlyMap<string, (person: Person) => readonly string[]>;
  readonly denyNodes: NodeIndex<CompiledRole>;
  readonly denyExpressions: readonly (Denial & { readonly expression: Expression })[];
  readonly denyLogins: ReadonlyMap<string, Denial>;
  readonly denyAnyLogin: Denial | undefined;
  readonly denyTemplates: ReadonlyMap<string, Denial & { readonly expand: (person: Person) => readonly string[] }>;
  readonly denyForwarding: readonly ForwardDenial[];
  readonly denyAgentForwarding: boolean;
}

/** The rules about one login, without templates. */
export interface RolesNaming {
  /** For each role, the index of its login that matches, or -1; in the order of roles. */
  readonly places: Int16Array;
  /** Roles that match and place no condition on the node. */
  readonly everywhere: readonly CompiledRole[];
}

const indexes = new WeakMap<readonly Role[], PolicyIndex>();

export function indexOf(roles: readonly Role[]): PolicyIndex {
  const known = indexes.get(roles);
  if (known !== undefined) return known;
  const made = makeIndex(roles);
  indexes.set(roles, made);
  return made;
}

function makeIndex(roles: readonly Role[]): PolicyIndex {
  // Ordered by name, so that reasons do not depend on the order of roles in a certificate.
  const options = new Map<string, number>();
  const optionsOf = ({
    recording,
    port_forwarding,
    agent_forwarding,
    max_session_length,
    idle_timeout,
    reconnect,
    max_sessions,
    disconnect_expired_cert,
    require_session_mfa,
    moderation,
  }: Role): number => {
    const key = JSON.stringify([
      recording,
      port_forwarding,
      agent_forwarding,
      max_session_length,
      idle_timeout,
      reconnect,
      max_sessions,
      disconnect_expired_cert,
      require_session_mfa,
      moderation ?? null,
    ]);
    return options.get(key) ?? options.set(key, options.size).get(key)!;
  };
  const sorted = inOrderOfNames(roles).map((role, order): CompiledRole => ({
    role,
    order,
    options: optionsOf(role),
    allowLogins: loginPatterns(role.allow.logins),
    allowExpression: role.allow.node_expression === undefined ? undefined : expressionOf(role.allow.node_expression, 'node'),
    everywhere: role.allow.node_expression === undefined && Object.keys(role.allow.nodes).join() === '*' && role.allow.nodes['*'] === '*',
  }));
  const allow = new NodeIndex<CompiledRole>();
  const allowTemplates = new Map<string, (person: Person) => readonly string[]>();
  const denyNodes = new NodeIndex<CompiledRole>();
  const denyExpressions: (Denial & { expression: Expression })[] = [];
  const denyLogins = new Map<string, Denial>();
  const denyTemplates = new Map<string, Denial & { expand: (person: Person) => readonly string[] }>();
  for (const one of sorted) {
    const { role, allowLogins, allowExpression } = one;
    const { name } = role;
    if (!one.everywhere && (Object.keys(role.allow.nodes).length > 0 || allowExpression !== undefined))
      allow.add(role.allow.nodes, allowExpression?.needs ?? [], one);
    for (const { text, expand } of allowLogins.templates) allowTemplates.set(text, expand);
    if (Object.keys(role.deny.nodes).length > 0) denyNodes.add(role.deny.nodes, [], one);
    // Unknown labels deny, so `needs`, which skips nodes without the label, must not be used.
    if (role.deny.node_expression !== undefined)
      denyExpressions.push({ role: name, path: ['deny', 'node_expression'], expression: expressionOf(role.deny.node_expression, 'node') });
    const denied = loginPatterns(role.deny.logins);
    for (const [login, at] of denied.literal)
      if (!denyLogins.has(login)) denyLogins.set(login, { role: name, path: ['deny', 'logins', at] });
    for (const { text, at, expand } of denied.templates)
      if (!denyTemplates.has(text)) denyTemplates.set(text, { role: name, path: ['deny', 'logins', at], expand });
  }
  return {
    naming: new Map(),
    roles: sorted,
    everywhere: sorted.filter(({ everywhere }) => everywhere),
    names: sorted.map(({ role }) => role.name),
    allow,
    allowTemplates,
    denyNodes,
    denyExpressions,
    denyLogins,
    denyAnyLogin: denyLogins.get('*'),
    denyTemplates,
    denyForwarding: roles.map(({ deny }) => denialOf(deny.port_forwarding)).filter((denial) => denial !== null),
    denyAgentForwarding: roles.some(({ deny }) => deny.agent_forwarding),
  };
}

const MAX_LOGINS = 64;

export function rolesNaming({ roles, everywhere, naming }: PolicyIndex, login: string): RolesNaming {
  const known = naming.get(login);
  if (known !== undefined) return known;
  // `*` matches every login except root, which must be named explicitly.
  const places = Int16Array.from(
    roles,
    ({ allowLogins: { literal } }) =>
      (login === '*' ? undefined : literal.get(login)) ?? (login === 'root' ? -1 : (literal.get('*') ?? -1)),
  );
  const made: RolesNaming = { places, everywhere: everywhere.filter(({ order }) => places[order] !== -1) };
  if (naming.size >= MAX_LOGINS) naming.clear();
  naming.set(login, made);
  return made;
}

export function scopeOf(subject: Subject, node: Labelled | null): Scope {
  return {
    user: { name: subject.user, roles: indexOf(subject.roles).names, traits: subject.traits },
    labels: node?.labels ?? null,
    ...(node === null ? {} : { node: { name: node.name } }),
  };
}

export function isEmpty(map: object): boolean {
  for (const _ in map) return false;
  return true;
}

function push<T>(map: Map<string, T[]>, key: string, thing: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [thing]);
  else list.push(thing);
}
