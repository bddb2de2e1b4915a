import { expect, test } from 'vitest';
import { resourceKinds, resourceVerbs, roleSchema } from './role.js';
import type { ResourceKind, ResourceVerb, Role } from './role.js';
import { administersEverything, decideResource, mayAdminister } from './administration.js';

const role = (more: object): Role => roleSchema.parse({ kind: 'role', name: 'r', ...more });
const ann = (...more: object[]) => ({ user: 'ann', roles: more.map((one, i) => role({ name: `r${i}`, ...one })) });
const rule = (resources: string[], verbs: string[]) => ({ rules: [{ resources, verbs }] });

test.each<[string, object[], ResourceKind, ResourceVerb, boolean]>([
  ['nothing without a role', [], 'role', 'read', false],
  ['administer: true is everything', [{ administer: true }], 'ca', 'update', true],
  ['kinds and verbs that a rule names', [{ allow: rule(['role', 'user'], ['list', 'read']) }], 'user', 'read', true],
  ['no other verb', [{ allow: rule(['role'], ['read']) }], 'role', 'update', false],
  ['no other kind', [{ allow: rule(['role'], ['*']) }], 'user', 'read', false],
  ['every kind', [{ allow: rule(['*'], ['read']) }], 'audit', 'read', true],
  ['deny wins over administer', [{ administer: true }, { deny: rule(['ca'], ['*']) }], 'ca', 'read', false],
  ['deny of something else', [{ administer: true, deny: rule(['ca'], ['update']) }], 'ca', 'read', true],
  ['deny of everything', [{ administer: true, allow: rule(['*'], ['*']), deny: rule(['*'], ['*']) }], 'node', 'list', false],
])('%s', (_claim, roles, kind, verb, allowed) => expect(decideResource(ann(...roles), kind, verb).allowed).toBe(allowed));

test('denying everything leaves nothing', () => {
  for (const kind of resourceKinds)
    for (const verb of resourceVerbs)
      expect(decideResource(ann({ administer: true }, { deny: rule(['*'], ['*']) }), kind, verb).allowed).toBe(false);
});

test('a user who is denied anything does not administer everything', () => {
  expect(
    [
      ann({ administer: true }),
      ann({ allow: rule(['*'], ['*']) }),
      ann({ administer: true }, { deny: rule(['sql'], ['read']) }),
      ann({}),
    ].map(({ roles }) => administersEverything(roles)),
  ).toEqual([true, true, false, false]);
});

test('every kind is not every verb, and neither is everything', () => {
  for (const allow of [rule(['*'], ['read']), rule(['role'], ['*'])]) expect(administersEverything(ann({ allow }).roles)).toBe(false);
  expect(administersEverything(ann({}, { administer: true }).roles)).toBe(true);
});

test('the answer names the rule of the first role by name, whichever way it goes and however the roles came', () => {
  const named = (...more: object[]) => {
    const { user, roles } = ann(...more);
    const [forward, backward] = [roles, [...roles].reverse()].map((given) => decideResource({ user, roles: given }, 'user', 'read'));
    expect(backward).toEqual(forward);
    return forward;
  };
  const reading = { allow: { rules: [...rule(['role'], ['read']).rules, ...rule(['user'], ['read']).rules] } };
  expect(named({}, reading, reading)).toEqual({ allowed: true, because: { role: 'r1', path: ['allow', 'rules', 1] } });
  expect(named({}, { administer: true }, reading)).toEqual({ allowed: true, because: { role: 'r1', path: ['administer'] } });
  expect(named({ administer: true }, { deny: rule(['*'], ['read']) }, { deny: rule(['*'], ['read']) })).toEqual({
    allowed: false,
    reason: 'ann may not read user: role r1 denies it',
    because: { role: 'r1', path: ['deny', 'rules', 0] },
  });
  expect(named({})).toEqual({ allowed: false, reason: 'ann may not read user: none of their roles permits it', because: null });
});

test('nobody has to be named to ask what roles allow', () => {
  const { roles } = ann({ allow: rule(['user'], ['read']) });
  expect([mayAdminister(roles, 'user', 'read'), mayAdminister(roles, 'user', 'update')]).toEqual([true, false]);
});
