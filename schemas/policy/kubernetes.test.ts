import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { roleSchema } from './role.js';
import type { Role } from './role.js';
import { decideKube, mayUseCluster, resourceName } from './kubernetes.js';
import type { KubeRequest } from './kubernetes.js';

const ann = (...sides: { readonly allow?: readonly object[]; readonly deny?: readonly object[] }[]) => ({
  user: 'ann',
  traits: { groups: ['team-a', 'system:masters', 'a b'] },
  roles: sides.map(({ allow = [], deny = [] }, i) =>
    roleSchema.parse({ kind: 'role', name: `r${i}`, allow: { kubernetes: allow }, deny: { kubernetes: deny } }),
  ),
});
const cluster = { name: 'east', labels: { env: 'dev' } };
const pods: KubeRequest = { verb: 'get', group: '', resource: 'pods', subresource: null, namespace: 'dev-1', name: 'web' };
const exec = { ...pods, verb: 'create', subresource: 'exec' };
const scale = { ...pods, verb: 'update', group: 'apps', resource: 'deployments', subresource: 'scale' };
const nodes = { ...pods, verb: 'list', resource: 'nodes', namespace: null, name: null };
const all = { groups: ['g'] };

describe('a request', () => {
  test.each<[string, Parameters<typeof ann>[0][], KubeRequest, boolean]>([
    ['nothing without a rule', [{}], pods, false],
    ['a rule without restrictions', [{ allow: [all] }], pods, true],
    ['a rule without a user or group', [{ allow: [{}] }], pods, false],
    ['another cluster', [{ allow: [{ ...all, clusters: { env: 'prod' } }] }], pods, false],
    ['this cluster', [{ allow: [{ ...all, clusters: { name: 'east' } }] }], pods, true],
    ['the namespace', [{ allow: [{ ...all, namespaces: ['dev-*'] }] }], pods, true],
    ['another namespace', [{ allow: [{ ...all, namespaces: ['dev'] }] }], pods, false],
    ['a request without a namespace needs a rule for all namespaces', [{ allow: [{ ...all, namespaces: ['dev-*'] }] }], nodes, false],
    ['a request without a namespace, with a rule for all namespaces', [{ allow: [{ ...all }] }], nodes, true],
    ['the verb', [{ allow: [{ ...all, verbs: ['get', 'list'] }] }], pods, true],
    ['another verb', [{ allow: [{ ...all, verbs: ['list'] }] }], pods, false],
    ['a resource does not include its subresources', [{ allow: [{ ...all, resources: ['pods'] }] }], exec, false],
    ['a subresource', [{ allow: [{ ...all, resources: ['pods/exec'] }] }], exec, true],
    ['with group', [{ allow: [{ ...all, resources: ['deployments.apps/scale'] }] }], scale, true],
    ['without group', [{ allow: [{ ...all, resources: ['deployments/scale'] }] }], scale, true],
    ['the name', [{ allow: [{ ...all, names: ['web*'] }] }], pods, true],
    ['another name', [{ allow: [{ ...all, names: ['db*'] }] }], pods, false],
    [
      'restrictions of two rules are not combined',
      [
        {
          allow: [
            { ...all, verbs: ['list'] },
            { ...all, namespaces: ['prod'] },
          ],
        },
      ],
      pods,
      false,
    ],
    ['deny wins', [{ allow: [all] }, { deny: [{ resources: ['pods'] }] }], pods, false],
    ['deny of a subresource only', [{ allow: [all] }, { deny: [{ resources: ['pods/exec'] }] }], pods, true],
    ['deny of a namespace denies requests about all namespaces', [{ allow: [all] }, { deny: [{ namespaces: ['secret'] }] }], nodes, false],
    ['deny of everything', [{ allow: [all] }, { deny: [{}] }], pods, false],
    ['deny of the only group', [{ allow: [all] }, { deny: [{ groups: ['g'] }] }], pods, false],
  ])('%s', (_claim, sides, request, allowed) => expect(decideKube(ann(...sides), cluster, request).allowed).toBe(allowed));
});

test('groups and users of all allowing rules are combined, without denied ones and without system names from traits', () => {
  const subject = ann(
    { allow: [{ groups: ['view', '{traits.groups}'], users: ['{user}'] }, { groups: ['edit', 'admin'] }] },
    { allow: [{ groups: ['far'], verbs: ['list'] }], deny: [{ groups: ['admin'] }] },
  );
  expect(decideKube(subject, cluster, pods)).toEqual({
    allowed: true,
    by: 'r0',
    forwarding: { allow: [], deny: [] },
    shows: null,
    confirm: false,
    bodies: null,
    hidesValues: false,
    because: { role: 'r0', path: ['allow', 'kubernetes', 0] },
    impersonate: 'ann',
    groups: ['edit', 'team-a', 'view'],
    terms: {
      recording: { mode: 'strict', streams: 'commands', limit: 1 << 20 },
      enhanced: { mode: 'best_effort', classes: ['dns', 'exec', 'file', 'network', 'security'] },
      limits: { maxSessionLength: null, idleTimeout: null, maxSessions: null, disconnectExpiredCert: false, reconnect: null },
      sessionMfa: false,
      moderation: [],
    },
  });
});

test('values are hidden if any role says so: for the resource with or without its group and for its subresources, but not for output of containers', () => {
  const role = (name: string, more: object): Role => roleSchema.parse({ kind: 'role', name, ...more });
  const hides = (patterns: readonly string[], asked: Partial<KubeRequest>): boolean | undefined => {
    const roles = [role('all', { allow: { kubernetes: [all] } }), role('careful', { deny: { kubernetes_values: patterns } })];
    const decided = decideKube({ ...ann(), roles }, cluster, { ...pods, namespace: 'shop', ...asked });
    return decided.allowed ? decided.hidesValues : undefined;
  };
  for (const verb of ['get', 'list', 'watch', 'create', 'patch', 'delete'])
    expect(hides(['secrets'], { verb, resource: 'secrets' })).toBe(true);
  expect(hides([], { resource: 'secrets' })).toBe(false);
  expect(hides(['secrets'], { resource: 'configmaps' })).toBe(false);
  const vaults = { group: 'example.com', resource: 'vaults', subresource: 'status' };
  for (const pattern of ['vaults', 'vaults.example.com', 'vault*', '*']) expect(hides([pattern], vaults)).toBe(true);
  expect(hides(['vaults.example.org'], vaults)).toBe(false);
  for (const subresource of ['log', 'exec', 'attach', 'portforward']) expect(hides(['*'], { subresource, name: 'web' })).toBe(false);
});

test('roles that name only groups pass the user on under a name without rights of its own, and several users are refused', () => {
  expect(decideKube(ann({ allow: [all] }), cluster, pods)).toMatchObject({ impersonate: 'steno:ann', groups: ['g'] });
  expect(decideKube(ann({ allow: [{ users: ['a'] }] }, { allow: [{ users: ['b'] }] }), cluster, pods)).toMatchObject({
    allowed: false,
    reason: expect.stringContaining('2 users (a, b)') as string,
  });
});

test('creations and deletions of collections need a rule for every name, since bodies are not read; lists are shown in part', () => {
  const some = { ...all, names: ['web*'] };
  for (const verb of ['list', 'watch', 'create', 'deletecollection']) {
    const request = { ...pods, verb, name: null };
    for (const subject of [ann({ allow: [some] }), ann({ allow: [all] }, { deny: [{ names: ['web*'] }] })]) {
      const decided = decideKube(subject, cluster, request);
      expect([decided.allowed, decided.allowed && decided.shows !== null]).toEqual(
        verb === 'list' || verb === 'watch' ? [true, true] : [false, false],
      );
    }
    expect(decideKube(ann({ allow: [all] }), cluster, request)).toMatchObject({ allowed: true, shows: null });
  }
});

test('a cluster is open to users who are allowed something on it, unless all of it is denied', () => {
  expect(mayUseCluster(ann({}), cluster)).toBe(false);
  expect(mayUseCluster(ann({ allow: [{ ...all, verbs: ['get'] }] }), cluster)).toBe(true);
  expect(mayUseCluster(ann({ allow: [{ ...all, clusters: { env: 'prod' } }] }), cluster)).toBe(false);
  expect(mayUseCluster(ann({ allow: [all] }, { deny: [{ clusters: { env: 'dev' } }] }), cluster)).toBe(false);
  expect(mayUseCluster(ann({ allow: [all] }, { deny: [{ resources: ['secrets'] }] }), cluster)).toBe(true);
});

test('the strictest terms of the allowing roles hold', () => {
  const subject = ann({ allow: [all] }, { allow: [all] }, {});
  const [a, b, c] = subject.roles as [Role, Role, Role];
  const roles = [
    { ...a, max_session_length: 600, require_session_mfa: true },
    { ...b, idle_timeout: 60, recording: { ...b.recording, mode: 'best_effort' as const } },
    { ...c, max_sessions: 1 },
  ];
  expect(decideKube({ ...subject, roles }, cluster, pods)).toMatchObject({
    terms: {
      recording: { mode: 'strict' },
      limits: { maxSessionLength: 600, idleTimeout: 60, maxSessions: null },
      sessionMfa: true,
    },
  });
});

describe('the answer to a request', () => {
  const role = (name: string, more: object = {}): Role => roleSchema.parse({ kind: 'role', name, allow: { kubernetes: [all] }, ...more });
  const decided = (roles: readonly Role[], asked: Partial<KubeRequest> = {}) =>
    decideKube({ ...ann(), roles }, cluster, { ...pods, ...asked });
  const access = { verb: 'create', group: 'authorization.k8s.io', resource: 'selfsubjectaccessreviews', namespace: null, name: null };

  test.each<[string, object, Partial<KubeRequest>, boolean]>([
    ['a stream, where sessions need it', { require_session_mfa: true }, exec, true],
    ['a read', { require_session_mfa: true, require_write_mfa: true }, pods, false],
    ['a write, where sessions need it', { require_session_mfa: true }, { verb: 'patch' }, false],
    ['a write, where writes need it', { require_write_mfa: true }, { verb: 'patch' }, true],
    ['a stream, where writes need it', { require_write_mfa: true }, exec, true],
    ['a list', { require_write_mfa: true }, { verb: 'list' }, false],
    ['a watch', { require_write_mfa: true }, { verb: 'watch' }, false],
    ['a question that is asked by a creation', { require_write_mfa: true }, access, false],
    ['a creation below it', { require_write_mfa: true }, { ...access, subresource: 'status' }, true],
    ['a write, where nothing needs it', {}, { verb: 'delete' }, false],
  ])('says whether %s needs a second factor', (_claim, more, asked, confirm) => {
    expect(decided([role('a', more), role('b')], asked)).toMatchObject({ allowed: true, confirm });
    // A role that has no part in it says nothing.
    expect(decided([role('a', { ...more, allow: { kubernetes: [] } }), role('b')], asked)).toMatchObject({ confirm: false });
  });

  test('says whether the body is recorded, and of which resources without values: those of every role', () => {
    const roles = [
      role('a', { recording: { bodies: 'writes', redact: ['configmaps', 'vaults'] } }),
      role('b', { allow: {}, recording: { redact: ['vaults', 'keys'] } }),
    ];
    expect(decided(roles, { verb: 'update' })).toMatchObject({ bodies: { redact: ['configmaps', 'vaults', 'keys'] } });
    expect(decided(roles, { verb: 'get' })).toMatchObject({ bodies: null });
    expect(decided([role('a', { recording: { redact: ['configmaps'] } })], { verb: 'update' })).toMatchObject({ bodies: null });
  });

  test('has forwardings where ports are forwarded, and what any role denies of them', () => {
    const roles = [
      role('a', { port_forwarding: { to: ['*:80'] } }),
      role('b', { allow: {}, deny: { port_forwarding: { loopback: true } } }),
    ];
    const [allow, deny] = [[{ to: ['*:80'] }], [{ loopback: true }]];
    expect(decided(roles, { verb: 'create', subresource: 'portforward' })).toMatchObject({ forwarding: { allow, deny } });
    expect(decided(roles, exec)).toMatchObject({ forwarding: { allow: [], deny: [] } });
  });

  test('names the clause of the first role by name, whichever way it goes and however the roles came', () => {
    const roles = [role('a', { allow: { kubernetes: [{ ...all, verbs: ['list'] }, all] } }), role('b')];
    const denying = [...roles, role('c', { deny: { kubernetes: [{ resources: ['x'] }, {}] } }), role('d', { deny: { kubernetes: [{}] } })];
    for (const order of [(list: readonly Role[]) => list, (list: readonly Role[]) => [...list].reverse()]) {
      expect(decided(order(roles))).toMatchObject({ by: 'a', because: { role: 'a', path: ['allow', 'kubernetes', 1] } });
      expect(decided(order(denying), scale)).toEqual({
        allowed: false,
        reason: 'role c denies update deployments.apps/scale in dev-1 on east',
        because: { role: 'c', path: ['deny', 'kubernetes', 1] },
      });
    }
    expect(decided([], nodes)).toEqual({ allowed: false, reason: 'no role of ann allows list nodes on east', because: null });
  });

  test('says who would be passed on, where that is nobody or more than one', () => {
    const users = (...names: readonly string[]): Role => role('a', { allow: { kubernetes: [{ users: names }] } });
    expect(decided([users('e', 'd', 'c', 'b', 'a')])).toMatchObject({
      reason: 'the roles of ann name 5 users (a, b, c, d) for get pods in dev-1 on east, but only one can be passed on',
      because: { role: 'a', path: ['allow', 'kubernetes', 0] },
    });
    expect(decided([role('a', { allow: { kubernetes: [{}] } })])).toMatchObject({
      reason: 'the roles of ann name no user or group for get pods in dev-1 on east',
    });
    expect(decided([role('a'), role('b', { deny: { kubernetes: [{ groups: ['g'] }] } })])).toMatchObject({
      allowed: false,
      because: { role: 'b', path: ['deny', 'kubernetes', 0] },
    });
    expect(decided([users('ann', 'bob'), role('b', { deny: { kubernetes: [{ users: ['bob'] }] } })])).toMatchObject({ impersonate: 'ann' });
  });

  test('takes from traits no name of the system, and no name that Kubernetes does not have; a denial by a trait takes any', () => {
    const traits = { groups: ['system:masters', 'a b', '-x', '', 'x'.repeat(161), `${'x'.repeat(160)}`, 'a:b@c.d_e/f-g'] };
    const named = (...roles: readonly Role[]): unknown => {
      const answer = decideKube({ user: 'ann', traits, roles }, cluster, pods);
      return answer.allowed && answer.groups;
    };
    const fromTraits = role('a', { allow: { kubernetes: [{ groups: ['{traits.groups}', 'g'] }] } });
    expect(named(fromTraits)).toEqual(['a:b@c.d_e/f-g', 'g', 'x'.repeat(160)]);
    // What a role names itself is what whoever wrote the role wanted.
    const system = role('a', { allow: { kubernetes: [{ groups: ['system:masters', 'g'] }] } });
    expect(named(system)).toEqual(['g', 'system:masters']);
    expect(named(system, role('b', { deny: { kubernetes: [{ groups: ['{traits.groups}'] }] } }))).toEqual(['g']);
  });
});

test('a resource is named with its group and its subresource', () => {
  const named = (group: string, subresource: string | null): string => resourceName({ group, resource: 'deployments', subresource });
  expect([named('', null), named('apps', null), named('', 'scale'), named('apps', 'scale')]).toEqual([
    'deployments',
    'deployments.apps',
    'deployments/scale',
    'deployments.apps/scale',
  ]);
});

test.each<[string, object, boolean]>([
  ['everything', {}, false],
  ['a namespace', { namespaces: ['shop'] }, true],
  ['a resource', { resources: ['pods'] }, true],
  ['a name', { names: ['web'] }, true],
  ['a verb', { verbs: ['get'] }, true],
  ['a group of everything', { groups: ['g'] }, true],
  ['a user of everything', { users: ['ann'] }, true],
  ['everything on other clusters', { clusters: { env: 'prod' } }, true],
])('a denial of %s leaves a cluster open: %j, %s', (_claim, denial, open) => {
  expect(mayUseCluster(ann({ allow: [all] }, { deny: [denial] }), cluster)).toBe(open);
});

test('nothing is allowed that a denying rule, applied literally, covers', () => {
  const word = fc.constantFrom('a', 'ab', 'b');
  const pattern = fc.constantFrom('a', 'ab', 'b', 'a*', '*');
  const rule = fc.record({
    namespaces: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    resources: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    names: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    verbs: fc.array(fc.constantFrom('get', 'list', '*'), { minLength: 1, maxLength: 2 }),
  });
  const request = fc.record({
    verb: fc.constantFrom('get', 'list'),
    group: fc.constant(''),
    resource: word,
    subresource: fc.constant(null),
    namespace: fc.option(word),
    name: fc.option(word),
  });
  const fits = (patterns: readonly string[], value: string | null): boolean =>
    value === null || patterns.some((one) => one === '*' || one === value || (one.endsWith('*') && value.startsWith(one.slice(0, -1))));
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 3 }), fc.array(rule, { maxLength: 3 }), request, (allow, deny, asked) => {
      const denied = deny.some(
        (one) =>
          fits(one.namespaces, asked.namespace) &&
          fits(one.resources, asked.resource) &&
          fits(one.names, asked.name) &&
          (one.verbs.includes('*') || one.verbs.includes(asked.verb)),
      );
      const decided = decideKube(ann({ allow: allow.map((one) => ({ ...one, groups: ['g'] })), deny }), cluster, asked);
      // Denied objects are left out of lists.
      if (denied && decided.allowed) expect([asked.verb, decided.shows === null]).toEqual(['list', false]);
      if (decided.allowed) expect(allow.some((one) => fits(one.resources, asked.resource))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

describe('a partially allowed list', () => {
  const list: KubeRequest = { ...pods, verb: 'list', namespace: null, name: null };
  const shown = (sides: Parameters<typeof ann>[0][], request: KubeRequest, objects: readonly string[]): readonly string[] | string => {
    const decided = decideKube(ann(...sides), cluster, request);
    if (!decided.allowed) return decided.reason;
    if (decided.shows === null) return 'everything';
    return objects.filter((text) => {
      const [namespace, name] = text.split('/') as [string, string];
      return decided.shows!({ namespace: namespace === '' ? null : namespace, name });
    });
  };
  const objects = ['dev-1/web', 'dev-1/db', 'prod/web', '/web'];
  test.each<[string, Parameters<typeof ann>[0][], KubeRequest, readonly string[] | string | RegExp]>([
    ['everything', [{ allow: [all] }], list, 'everything'],
    ['namespaces', [{ allow: [{ ...all, namespaces: ['dev-*'] }] }], list, ['dev-1/web', 'dev-1/db']],
    ['names', [{ allow: [{ ...all, names: ['web'] }] }], { ...list, namespace: 'dev-1' }, ['dev-1/web', 'prod/web', '/web']],
    ['all but a namespace', [{ allow: [all] }, { deny: [{ namespaces: ['prod'] }] }], list, ['dev-1/web', 'dev-1/db']],
    ['all but a name', [{ allow: [all], deny: [{ names: ['web'] }] }], list, ['dev-1/db']],
    ['watches too', [{ allow: [{ ...all, names: ['db'] }] }], { ...list, verb: 'watch' }, ['dev-1/db']],
    ['namespaces by their own name', [{ allow: [{ ...all, namespaces: ['dev-*'] }] }], { ...list, resource: 'namespaces' }, []],
    ['nothing if everything is denied', [{ allow: [all] }, { deny: [{ resources: ['pods'] }] }], list, /^role r1 denies/],
    ['no deletion', [{ allow: [{ ...all, names: ['web'] }] }], { ...list, verb: 'deletecollection' }, /^no role/],
    ['no creation', [{ allow: [{ ...all, names: ['web'] }] }], { ...list, verb: 'create' }, /^no role/],
    ['nothing without a namespace', [{ allow: [{ ...all, namespaces: ['dev-*'] }] }], nodes, /^no role/],
    [
      'one identity',
      [
        {
          allow: [
            { groups: ['g'], namespaces: ['dev-*'] },
            { groups: ['h'], namespaces: ['prod'] },
          ],
        },
      ],
      list,
      /name different users or groups for parts/,
    ],
    [
      'the same identity by two rules',
      [
        {
          allow: [
            { ...all, namespaces: ['dev-*'], names: ['db'] },
            { ...all, namespaces: ['prod'] },
          ],
        },
      ],
      list,
      ['dev-1/db', 'prod/web'],
    ],
  ])('%s', (_claim, sides, request, expected) => {
    const got = shown(sides, request, objects);
    if (expected instanceof RegExp) expect(got).toMatch(expected);
    else expect(got).toEqual(expected);
  });

  test('shows a namespace by its own name', () => {
    const request = { ...list, resource: 'namespaces' };
    expect(shown([{ allow: [{ ...all, namespaces: ['dev-*'] }] }], request, ['/dev-1', '/prod'])).toEqual(['/dev-1']);
  });

  const pattern = fc.constantFrom('*', 'a', 'b', 'a*', 'c');
  const rule = fc.record({
    groups: fc.constant(['g']),
    namespaces: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    names: fc.array(pattern, { minLength: 1, maxLength: 2 }),
    verbs: fc.constantFrom(['*'], ['list'], ['get', 'list']),
  });
  const denial = rule.map(({ namespaces, names, verbs }) => ({ namespaces, names, verbs }));
  test('shows exactly the objects that could be listed by name', () => {
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 3 }),
        fc.array(denial, { maxLength: 2 }),
        fc.constantFrom(null, 'a', 'b'),
        fc.constantFrom('a', 'b', 'ab'),
        fc.constantFrom('a', 'b', 'ab'),
        (allow, deny, within, namespace, name) => {
          const subject = ann({ allow, deny });
          const decided = decideKube(subject, cluster, { ...list, namespace: within });
          const one = decideKube(subject, cluster, { ...list, namespace: within ?? namespace, name });
          const visible = decided.allowed && (decided.shows === null || decided.shows({ namespace: within ?? namespace, name }));
          // A list is refused as a whole only if nothing in it could be shown, or everything is denied.
          expect(visible).toBe(one.allowed);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
