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

test('inviting too is allowed in the modes that a rule names, and the refusal names the mode', () => {
  const subject = ann(rule(['invite', 'moderate'], { modes: ['observer'] }));
  const allowed = (action: SessionAction, mode?: 'observer' | 'peer'): boolean => decideSession(subject, action, other, prod, mode).allowed;
  expect([allowed('invite', 'observer'), allowed('invite', 'peer'), allowed('invite')]).toEqual([true, false, true]);
  // What is not done in a mode is allowed whatever the mode.
  expect(allowed('moderate', 'peer')).toBe(true);
  expect(decideSession(subject, 'invite', other, prod, 'peer')).toMatchObject({
    reason: 'ann may not invite this session as peer: none of their roles permits it',
  });
  expect(decideSession(subject, 'join', other, prod)).toMatchObject({
    reason: 'ann may not join this session: none of their roles permits it',
    because: null,
  });
});

test('of roles that say the same the first by name is named, however they came', () => {
  const { roles: list, ...person } = ann(
    { view: 'all' },
    { view: 'all' },
    { deny: { sessions: [{ actions: ['join'] }] } },
    { deny: { sessions: [{ actions: ['*'] }] } },
  );
  for (const given of [list, [...list].reverse()]) {
    const named = (action: SessionAction, roles: readonly Role[]): unknown => decideSession({ ...person, roles }, action, other, prod);
    expect(
      named(
        'view',
        given.filter(({ deny }) => deny.sessions.length === 0),
      ),
    ).toMatchObject({ because: { role: 'r0', path: ['view'] } });
    expect(named('join', given)).toMatchObject({ allowed: false, because: { role: 'r2', path: ['deny', 'sessions', 0] } });
  }
});

const denying = (more: object) => ({ deny: { sessions: [{ actions: ['view'], ...more }] } });
const where = "labels.env == 'prod'";
test.each<[string, object[], ReturnType<typeof sessionScope>]>([
  ['nothing without a role', [], 'none'],
  ['nothing where nothing is allowed', [{ view: 'none' }, denying({ where })], 'none'],
  ['everything', [{ view: 'all' }], 'all'],
  ['everything, by one of several rules', [{ view: 'own' }, rule(['view'], { where }), { view: 'all' }], 'all'],
  ['their own', [{ view: 'own' }], 'own'],
  ['their own, by one of several rules', [rule(['view'], { of: 'own', where }), { view: 'own' }], 'own'],
  ['some of their own', [rule(['view'], { of: 'own', where })], 'some'],
  ['some, by a condition', [rule(['view'], { where })], 'some'],
  ['their own, and others by a condition', [{ view: 'own' }, rule(['view'], { where })], 'some'],
  ['nothing where all is denied', [{ view: 'all' }, denying({})], 'none'],
  ['all but some', [{ view: 'all' }, denying({ where })], 'some'],
  ['all but their own', [{ view: 'all' }, denying({ of: 'own' })], 'some'],
  ['nothing where their own are allowed and denied', [{ view: 'own' }, denying({ of: 'own', where }), denying({ of: 'own' })], 'none'],
  ['some of their own where others are denied', [{ view: 'own' }, denying({ where })], 'some'],
  ['everything, where another action is denied', [{ view: 'all' }, { deny: { sessions: [{ actions: ['export'] }] } }], 'all'],
])('how much of a list there is to see: %s', (_claim, given, scope) => {
  expect(sessionScope(ann(...given), 'view')).toBe(scope);
});
