import { describe, expect, test } from 'vitest';
import { roleSchema } from './role.js';
import { decideKube } from './kubernetes.js';
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
    ['a rule that names nobody to be', [{ allow: [{}] }], pods, false],
    ['another cluster', [{ allow: [{ ...all, clusters: { env: 'prod' } }] }], pods, false],
    ['this cluster', [{ allow: [{ ...all, clusters: { name: 'east' } }] }], pods, true],
    ['the namespace', [{ allow: [{ ...all, namespaces: ['dev-*'] }] }], pods, true],
    ['another namespace', [{ allow: [{ ...all, namespaces: ['dev'] }] }], pods, false],
    ['what has no namespace needs all of them', [{ allow: [{ ...all, namespaces: ['dev-*'] }] }], nodes, false],
    ['what has no namespace, and all of them', [{ allow: [{ ...all }] }], nodes, true],
    ['the verb', [{ allow: [{ ...all, verbs: ['get', 'list'] }] }], pods, true],
    ['another verb', [{ allow: [{ ...all, verbs: ['list'] }] }], pods, false],
    ['a resource does not give its subresources', [{ allow: [{ ...all, resources: ['pods'] }] }], exec, false],
    ['a subresource', [{ allow: [{ ...all, resources: ['pods/exec'] }] }], exec, true],
    ['with group', [{ allow: [{ ...all, resources: ['deployments.apps/scale'] }] }], scale, true],
    ['without group', [{ allow: [{ ...all, resources: ['deployments/scale'] }] }], scale, true],
    ['the name', [{ allow: [{ ...all, names: ['web*'] }] }], pods, true],
    ['another name', [{ allow: [{ ...all, names: ['db*'] }] }], pods, false],
    [
      'restrictions of two rules are not added up',
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
    ['deny of a namespace denies what is about all of them', [{ allow: [all] }, { deny: [{ namespaces: ['secret'] }] }], nodes, false],
    ['deny of everything', [{ allow: [all] }, { deny: [{}] }], pods, false],
    ['deny of the only group', [{ allow: [all] }, { deny: [{ groups: ['g'] }] }], pods, false],
  ])('%s', (_claim, sides, request, allowed) => expect(decideKube(ann(...sides), cluster, request).allowed).toBe(allowed));
});

test('groups and users of all allowing rules are put together, without what is denied and without names of the system from traits', () => {
  const subject = ann(
    { allow: [{ groups: ['view', '{traits.groups}'], users: ['{user}'] }, { groups: ['edit', 'admin'] }] },
    { allow: [{ groups: ['far'], verbs: ['list'] }], deny: [{ groups: ['admin'] }] },
  );
  expect(decideKube(subject, cluster, pods)).toEqual({
    allowed: true,
    by: 'r0',
    because: { role: 'r0', path: ['allow', 'kubernetes', 0] },
    impersonate: 'ann',
    groups: ['edit', 'team-a', 'view'],
    terms: {
      recording: { mode: 'strict', streams: 'commands', limit: 1 << 20 },
      enhanced: { mode: 'best_effort', classes: ['dns', 'exec', 'file', 'network', 'security'] },
      limits: { maxSessionLength: null, idleTimeout: null, maxSessions: null, disconnectExpiredCert: false },
      sessionMfa: false,
    },
  });
});
