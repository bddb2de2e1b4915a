import fc from 'fast-check';
import { expect, test } from 'vitest';
import { roleSchema, sessionActions } from './role.js';
import type { Role, SessionAction } from './role.js';
import { decideSession, sessionScope } from './session.js';

const roles = (...more: object[]): Role[] => more.map((one, i) => roleSchema.parse({ kind: 'role', name: `r${i}`, view: 'none', ...one }));
const ann = (...more: object[]) => ({ user: 'ann', traits: { team: ['shop'] }, roles: roles(...more) });
const own = { user: 'ann', node: 'web-1', login: 'www', kind: 'shell' };
const other = { user: 'bob', node: 'db-1', login: 'root', kind: 'exec' };
const prod = { env: 'prod' };

const rule = (actions: string[], more: object = {}) => ({ allow: { sessions: [{ actions, ...more }] } });
test.each<[string, object[], SessionAction, boolean, boolean]>([
  ['nothing without a role', [], 'view', false, false],
  ['view: none', [{}], 'list', false, false],
  ['view: own', [{ view: 'own' }], 'view', true, false],
  ['view: all', [{ view: 'all' }], 'export', true, true],
  ['view: all does not join', [{ view: 'all' }], 'join', false, false],
  ['view: all does not moderate', [{ view: 'all' }], 'moderate', false, false],
  ['the widest of several', [{ view: 'own' }, { view: 'all' }], 'follow', true, true],
  ['only what is named', [rule(['list'])], 'view', false, false],
  ['every action', [rule(['*'])], 'moderate', true, true],
  ['of: own', [rule(['view'], { of: 'own' })], 'view', true, false],
  ['an expression on the session', [rule(['view'], { where: "session.login == 'root'" })], 'view', false, true],
  ['an expression on labels of the node', [rule(['view'], { where: "labels.env == 'prod'" })], 'view', true, true],
  ['an unknown label allows nothing', [rule(['view'], { where: "labels.zone != 'x'" })], 'view', false, false],
  ['deny wins', [{ view: 'all' }, { deny: { sessions: [{ actions: ['export'] }] } }], 'export', false, false],
  ['deny of something else', [{ view: 'all' }, { deny: { sessions: [{ actions: ['export'] }] } }], 'view', true, true],
  ['deny of own sessions', [{ view: 'all', deny: { sessions: [{ actions: ['view'], of: 'own' }] } }], 'view', false, true],
  [
    'an unknown label denies',
    [{ view: 'all', deny: { sessions: [{ actions: ['*'], where: "labels.zone == 'x'" }] } }],
    'view',
    false,
    false,
  ],
])('%s', (_claim, given, action, ofOwn, ofOther) => {
  const subject = ann(...given);
  expect([decideSession(subject, action, own, prod).allowed, decideSession(subject, action, other, prod).allowed]).toEqual([
    ofOwn,
    ofOther,
  ]);
});

test('labels missing from a recording are unknown', () => {
  expect(decideSession(ann(rule(['view'], { where: "labels.env == 'prod'" })), 'view', own, null).allowed).toBe(false);
  expect(
    decideSession(ann({ view: 'all', deny: { sessions: [{ actions: ['view'], where: "labels.env == 'prod'" }] } }), 'view', own, null)
      .allowed,
  ).toBe(false);
});

test('joining is allowed in the modes that a rule names', () => {
  const subject = ann(rule(['join'], { modes: ['observer', 'peer'] }));
  expect((['observer', 'peer', 'moderator'] as const).map((mode) => decideSession(subject, 'join', other, prod, mode).allowed)).toEqual([
    true,
    true,
    false,
  ]);
});

test('the decision names the rule', () => {
  expect(decideSession(ann({}, rule(['list', 'view'])), 'view', other, prod)).toEqual({
    allowed: true,
    because: expect.objectContaining({ role: 'r1', path: ['allow', 'sessions', 0] }),
  });
  expect(decideSession(ann({ view: 'all' }), 'view', other, prod)).toMatchObject({ because: { role: 'r0', path: ['view'] } });
});

test('sessions of an earlier user of the name count as own for nobody', () => {
  const subject = {
    ...ann({ view: 'own' }, { allow: { sessions: [{ actions: ['join'], where: 'session.user == user.name' }] } }),
    since: 1_000,
  };
  const at = (started_at?: number): boolean[] =>
    (['view', 'join'] as const).map(
      (action) => decideSession(subject, action, { ...own, ...(started_at === undefined ? {} : { started_at }) }, prod).allowed,
    );
  expect([at(999), at(1_000), at()]).toEqual([
    [false, false],
    [true, true],
    [false, false],
  ]);
  // Each session must be decided separately.
  expect(sessionScope(subject, 'view')).toBe('some');
  expect(sessionScope({ ...subject, roles: ann({ view: 'all' }).roles }, 'view')).toBe('all');
});

test('the scope for queries agrees with the decision about each session', () => {
  const where = fc.constantFrom(undefined, undefined, "session.user == 'bob'", "labels.env == 'prod'", "labels.zone == 'x'");
  const one = fc.record({
    actions: fc.subarray([...sessionActions, '*'] as string[], { minLength: 1 }),
    of: fc.constantFrom('own', 'all'),
    where,
  });
  const any = fc.array(
    fc.record({
      view: fc.constantFrom('all', 'own', 'none'),
      allow: fc.record({ sessions: fc.array(one, { maxLength: 2 }) }),
      deny: fc.record({ sessions: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(one, { maxLength: 2 })) }),
    }),
    { maxLength: 3 },
  );
  fc.assert(
    fc.property(any, fc.constantFrom(...sessionActions), (given, action) => {
      const subject = ann(...given);
      const seen = [own, other].map((session) => decideSession(subject, action, session, prod).allowed);
      const scope = sessionScope(subject, action);
      if (scope === 'all') expect(seen).toEqual([true, true]);
      if (scope === 'own') expect(seen).toEqual([true, false]);
      if (scope === 'none') expect(seen).toEqual([false, false]);
    }),
    { numRuns: 1000 },
  );
});
