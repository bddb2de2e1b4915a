/**
 * Whether one rule's reach lies within another's, decided by their text: selectors of labels, patterns of names, and the facts
 * that rules read about their holder.
 *
 * An aid to the guard of authority/power: "no" may be wrong, "yes" never is. Tested in within.test.ts.
 */
import type { NodeSelector, RequestRule, Role } from '../role.js';
import { expressionOf, isEmpty } from '../compiled.js';
import type { ExpressionSubject } from '../label-expression.js';
import { parseTemplate } from '../login-template.js';

/** Whether `outer` selects every node that `inner` selects. */
export function selectorWithin(inner: NodeSelector, outer: NodeSelector): boolean {
  if (isEmpty(inner)) return true;
  if (isEmpty(outer)) return false;
  return Object.entries(outer).every(([key, value]) => {
    if (key === '*') return value === '*';
    const wanted = [value].flat();
    // Every node has a name; any other label may be missing.
    if (!Object.hasOwn(inner, key)) return key === 'name' && wanted.includes('*');
    return wanted.includes('*') || [inner[key]!].flat().every((one) => one !== '*' && wanted.includes(one));
  });
}

/** Patterns of names: a name, a prefix of one followed by `*`, or `*`. */
export function patternWithin(inner: string, outer: string): boolean {
  return outer.endsWith('*') ? inner.startsWith(outer.slice(0, -1)) : inner === outer;
}

export function patternsWithin(inner: readonly string[], outer: readonly string[]): boolean {
  return inner.every((one) => outer.some((other) => patternWithin(one, other)));
}

/** Whether two values have the same text. */
export function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Whether the expression depends on the holder of the role. */
export function readsUser(text: string | undefined, about: ExpressionSubject): boolean {
  return text !== undefined && [...expressionOf(text, about).reads].some((name) => name.startsWith('user.'));
}

/** Facts about the user that a role's expressions read: `user.name`, `user.roles`, `user.traits.KEY`. */
export function readByExpressions(role: Role): ReadonlySet<string> {
  const reads = new Set<string>();
  const add = (text: string | undefined, about: ExpressionSubject): void => {
    if (text !== undefined) for (const name of expressionOf(text, about).reads) if (name.startsWith('user.')) reads.add(name);
  };
  for (const rules of [role.allow, role.deny]) {
    add(rules.node_expression, 'node');
    for (const { where } of rules.sessions) add(where, 'session');
    for (const { where } of rules.approve) add(where, 'request');
  }
  for (const { node_expression: text } of role.allow.request) add(text, 'node');
  if (typeof role.watermark === 'object') add(role.watermark.where, 'session');
  return reads;
}

/** The same for its templates. */
export function readByTemplates(role: Role): ReadonlySet<string> {
  const texts = [role.allow, role.deny].flatMap(({ logins, kubernetes }) => [
    ...logins,
    ...kubernetes.flatMap(({ users, groups }) => [...users, ...groups]),
  ]);
  return new Set([...texts, ...role.allow.request.flatMap(({ logins }) => logins)].flatMap((text) => parseTemplate(text)?.reads ?? []));
}

/** Whether the rule is about nodes. Of a user's rules about a node only one counts, and it hides the others. */
export function asksForNodes({ nodes, node_expression: text }: Pick<RequestRule, 'nodes' | 'node_expression'>): boolean {
  return !isEmpty(nodes) || text !== undefined;
}

export function isTemplate(text: string): boolean {
  return parseTemplate(text)?.expand != null;
}
