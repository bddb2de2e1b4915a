import { expect, test } from 'vitest';
import { resourceKinds, resourceVerbs, roleSchema } from './role.js';
import type { ResourceKind, ResourceVerb, Role } from './role.js';
import { administersEverything, decideResource } from './administration.js';

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
