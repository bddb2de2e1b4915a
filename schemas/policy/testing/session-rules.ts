/** Random people, rules and sessions for tests of visibility. For tests only. */
import fc from 'fast-check';
import { roleSchema } from '../role.js';
import { compileExpression } from '../label-expression.js';
import type { Condition, ConditionSubject } from '../session-condition.js';
import type { Subject } from '../subject.js';

const names = ['ann', 'ben', "o'neil", 'ann (earlier)', 'x\\'] as const;
const user = { name: 'ann', roles: ['dev', 'ops'], traits: { team: ['shop', 'pay'], none: [] } };

const texts = [
  "labels.env == 'dev'",
  "labels.env != 'dev'",
  "!(labels.env == 'dev')",
  "labels.env in ['dev', 'stage', labels.zone]",
  'labels.env in []',
  "'env' in labels && !has(labels.zone)",
  'labels.zone in labels',
  "(labels.env == 'dev') == (session.kind == 'shell')",
  "(labels.zone == 'a') != has(labels.zone)",
  "labels.env == 'dev' || labels.zone == 'a'",
  "labels.env == 'dev' && labels.zone == 'a'",
  "!(labels.env == 'dev' || labels.zone == 'a')",
  'user.traits.team.exists(t, t == labels.team)',
  'user.traits.team.all(t, t != labels.team)',
  'user.traits.none.exists(t, true) || user.traits.missing.all(t, false)',
  "[labels.zone, session.node].exists(x, x == 'a')",
  "[labels.zone, session.login].all(x, x != 'a')",
  'session.user == user.name',
  "session.login.startsWith('ro') || session.node.endsWith('1')",
  'session.node.contains(labels.zone)',
  "session.user.contains('\\'')",
  "session.user.endsWith('\\\\')",
  "'dev' in user.roles && session.user in user.traits.team",
  "labels['it\\'s'] == 'x\\\\'",
  'true',
  'false || !true',
] as const;

/** Expressions with their conditions as trees, for the user `ann`. */
export const expressions: readonly (readonly [string, Condition])[] = texts.map((text) => [
  text,
  compileExpression(text, 'session').condition({ user, owner: { kind: 'user', marked: { user: 'ann', before: 5_000 } } }),
]);

const label = fc.constantFrom('dev', 'prod', 'a', 'env', 'shop', 'x\\', '');
export const seenSession: fc.Arbitrary<ConditionSubject & { readonly kind: 'shell' | 'exec'; readonly started_at: number }> = fc.record({
  user: fc.constantFrom(...names),
  node: fc.constantFrom('a', 'web-1', 'web-a'),
  login: fc.constantFrom('root', 'a'),
  kind: fc.constantFrom('shell' as const, 'exec' as const),
  started_at: fc.constantFrom(0, 4_999, 5_000, 9_000),
  labels: fc.option(
    fc
      .record({ env: label, zone: label, team: label, "it's": label }, { requiredKeys: [] })
      .map((labels): Readonly<Record<string, string>> => ({ ...labels })),
    { freq: 5 },
  ),
});

const rule = fc.record(
  {
    actions: fc.constantFrom(['list'], ['view'], ['list', 'view'], ['*'], ['export']),
    of: fc.constantFrom('all', 'own'),
    where: fc.constantFrom(...texts),
  },
  { requiredKeys: ['actions'] },
);

export const subjects: fc.Arbitrary<Subject> = fc
  .record({
    since: fc.option(fc.constantFrom(4_999, 5_000), { nil: undefined }),
    roles: fc.array(
      fc.record({
        view: fc.constantFrom('none', 'none', 'own', 'all'),
        allow: fc.array(rule, { maxLength: 2 }),
        deny: fc.array(rule, { maxLength: 1 }),
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ since, roles }) => ({
    user: 'ann',
    traits: user.traits,
    ...(since === undefined ? {} : { since }),
    roles: roles.map(({ view, allow, deny }, i) =>
      roleSchema.parse({ kind: 'role', name: `r${i}`, view, allow: { sessions: allow }, deny: { sessions: deny } }),
    ),
  }));
