import { describe, expect, test } from 'vitest';
import { roleSchema } from '../role.js';
import type { Role } from '../role.js';
import { isNarrower, lackingForRole } from './documents.js';

const role = (more: object = {}, name = 'r'): Role =>
  roleSchema.parse({ kind: 'role', name, view: 'none', port_forwarding: false, agent_forwarding: false, ...more });
const dev = { allow: { nodes: { env: 'dev' }, logins: ['www'] } };
const rule = (resources: string[], verbs: string[]) => ({ rules: [{ resources, verbs }] });
/** The power that ann, who holds these roles, lacks for writing the role. */
const lacking = (written: object, before: object | undefined, ...held: object[]): string | null =>
  lackingForRole(
    { roles: held.map((one, i) => role(one, `h${i}`)), person: { user: 'ann', traits: { logins: ['ops'] } } },
    role(written),
    before === undefined ? undefined : role(before),
  );

describe('a role that is written', () => {
  test.each<[string, object, object | undefined, object[], RegExp | null]>([
    ['within the power of its author', dev, undefined, [{ allow: { nodes: { env: ['dev', 'stage'] }, logins: ['www', 'ops'] } }], null],
    ['with a node its author lacks', { allow: { nodes: { env: 'prod' }, logins: ['www'] } }, undefined, [dev], /login www on the nodes/],
    [
      'with a login its author lacks',
      { allow: { nodes: { env: 'dev' }, logins: ['root'] } },
      undefined,
      [{ allow: { nodes: { env: 'dev' }, logins: ['*'] } }],
      /login root/,
    ],
    [
      'with a login of one role and nodes of another',
      { allow: { nodes: { env: 'dev' }, logins: ['ops'] } },
      undefined,
      [dev, { allow: { nodes: { env: 'stage' }, logins: ['ops'] } }],
      /login ops/,
    ],
    [
      'with any login, by an author with any login',
      { allow: { nodes: { env: 'dev' }, logins: ['*', '{user}'] } },
      undefined,
      [{ allow: { nodes: { env: 'dev' }, logins: ['*'] } }],
      null,
    ],
    [
      'with a template that gives its holders their names',
      { allow: { nodes: { env: 'dev' }, logins: ['{user}'] } },
      undefined,
      [{ allow: { nodes: { env: 'dev' }, logins: ['{user}'] } }],
      /login \{user\}/,
    ],
    [
      'with the login that a template gives its author',
      { allow: { nodes: { env: 'dev' }, logins: ['ann', 'ops'] } },
      undefined,
      [{ allow: { nodes: { env: 'dev' }, logins: ['{user}', '{traits.logins}'] } }],
      null,
    ],
    [
      'that another role denies its author',
      dev,
      undefined,
      [{ allow: { nodes: { '*': '*' }, logins: ['*'] } }, { deny: { nodes: { frozen: 'yes' } } }],
      /login www/,
    ],
    [
      'with the same denial',
      { ...dev, deny: { nodes: { frozen: 'yes' } } },
      undefined,
      [{ allow: { nodes: { '*': '*' }, logins: ['*'] } }, { deny: { nodes: { frozen: 'yes' } } }],
      null,
    ],
    [
      'by an expression about its holders',
      { allow: { nodes: { env: 'dev' }, node_expression: 'labels.t in user.traits.t', logins: ['www'] } },
      undefined,
      [{ allow: { nodes: { env: 'dev' }, node_expression: 'labels.t in user.traits.t', logins: ['www'] } }],
      /login www/,
    ],
    ['under looser terms', dev, undefined, [{ ...dev, require_session_mfa: true }], /login www/],
    ['with a forwarding its author lacks', { ...dev, port_forwarding: true }, undefined, [dev], /login www/],
    [
      'with metadata that its author lacks',
      { ...dev, port_forwarding: { metadata: true } },
      undefined,
      [{ ...dev, port_forwarding: true }],
      /login www/,
    ],
    [
      'with a destination that its author lacks',
      { ...dev, port_forwarding: { to: ['10.0.0.0/8', 'db:5432'] } },
      undefined,
      [{ ...dev, port_forwarding: { to: ['10.0.0.0/8'] } }],
      /login www/,
    ],
    [
      'with all destinations, by an author with some',
      { ...dev, port_forwarding: true },
      undefined,
      [{ ...dev, port_forwarding: { to: ['10.0.0.0/8'] } }],
      /login www/,
    ],
    [
      'with some destinations, by an author with all',
      { ...dev, port_forwarding: { to: ['10.0.0.0/8'], remote: false } },
      undefined,
      [{ ...dev, port_forwarding: true }],
      null,
    ],
    [
      'with forwardings that another role denies its author',
      { ...dev, port_forwarding: true },
      undefined,
      [{ ...dev, port_forwarding: true }, { deny: { port_forwarding: { loopback: true } } }],
      /login www/,
    ],
    [
      'with the same denial of forwardings',
      { ...dev, port_forwarding: true, deny: { port_forwarding: { loopback: true, to: ['10.0.0.1'] } } },
      undefined,
      [{ ...dev, port_forwarding: true }, { deny: { port_forwarding: { loopback: true } } }],
      null,
    ],
    [
      'that loses a part of a denial of forwardings',
      { deny: { port_forwarding: { loopback: true } } },
      { deny: { port_forwarding: { loopback: true, to: ['10.0.0.1'] } } },
      [dev],
      /deny.port_forwarding/,
    ],
    [
      'that denies a part instead of all',
      { deny: { port_forwarding: { local: true } } },
      { deny: { port_forwarding: true } },
      [dev],
      /deny.port_forwarding/,
    ],
    ['that keeps less of streams', { ...dev, recording: { streams: 'limited' } }, undefined, [dev], /login www/],
    ['that keeps less unechoed input', dev, undefined, [{ ...dev, recording: { unechoed: 'full' } }], /login www/],
    ['that keeps more', { ...dev, recording: { streams: 'full', unechoed: 'full' } }, undefined, [dev], null],
    ['that administers', { administer: true }, undefined, [{ allow: rule(['role', 'user'], ['*']) }], /administer everything/],
    [
      'that names every verb on every kind, by an author who has them one by one',
      { allow: rule(['*'], ['*']) },
      undefined,
      [
        {
          allow: rule(
            [
              'role',
              'user',
              'node',
              'lock',
              'token',
              'ca',
              'connector',
              'cluster',
              'request',
              'service',
              'bot',
              'audit',
              'sql',
              'access',
              'rule',
              'finding',
              'note',
              'case',
            ],
            ['list', 'read', 'create', 'update', 'delete', 'label'],
          ),
        },
      ],
      /administer everything/,
    ],
    ['with power that its author has', { allow: rule(['role'], ['update']) }, undefined, [{ allow: rule(['role'], ['*']) }], null],
    [
      'with power that its author lacks',
      { allow: rule(['user'], ['update']) },
      undefined,
      [{ allow: rule(['role'], ['*']) }],
      /update user/,
    ],
    [
      'that approves more',
      { allow: { approve: [{ roles: ['*'] }] } },
      undefined,
      [{ allow: { approve: [{ roles: ['dev-*'] }] } }],
      /approve requests/,
    ],
    [
      'that can request more',
      { allow: { request: [{ roles: ['dba'] }] } },
      undefined,
      [{ allow: { request: [{ roles: ['dev-*'] }] } }],
      /ask for what/,
    ],
    [
      'that can request nodes by a rule that another rule hides',
      { allow: { request: [{ nodes: { env: 'dev' }, logins: ['root'] }] } },
      undefined,
      [
        {
          allow: {
            request: [
              { nodes: { env: 'dev' }, logins: ['www'] },
              { nodes: { env: 'dev' }, logins: ['root'] },
            ],
          },
        },
      ],
      /ask for what/,
    ],
    [
      'that needs fewer approvals',
      { allow: { request: [{ roles: ['dba'] }] } },
      undefined,
      [{ allow: { request: [{ roles: ['dba'], thresholds: { approve: 2 } }] } }],
      /ask for what/,
    ],
    ['that sees all recordings', { view: 'all' }, undefined, [{ view: 'own' }], /to list the sessions of view: all/],
    [
      'that reaches into Kubernetes',
      { allow: { kubernetes: [{ namespaces: ['shop'], groups: ['admins'] }] } },
      undefined,
      [{ allow: { kubernetes: [{ groups: ['devs'] }] } }],
      /kubernetes/,
    ],
    ['that keeps existing permissions', { ...dev, description: 'other' }, dev, [{}], null],
    ['that gives fewer permissions', {}, dev, [{}], null],
    ['that loses a denial', {}, { deny: rule(['ca'], ['*']) }, [{ allow: rule(['*'], ['read']) }], /deny.rules/],
    ['that loses a denied node', {}, { deny: { nodes: { env: 'prod' } } }, [dev], /deny.nodes/],
    [
      'that shows values that a role of its author hides',
      { allow: { kubernetes: [{ groups: ['devs'] }] } },
      undefined,
      [{ allow: { kubernetes: [{ groups: ['devs'] }] } }, { deny: { kubernetes_values: ['secrets'] } }],
      /kubernetes/,
    ],
    [
      'that hides them too',
      { allow: { kubernetes: [{ groups: ['devs'] }] }, deny: { kubernetes_values: ['secrets', 'configmaps'] } },
      undefined,
      [{ allow: { kubernetes: [{ groups: ['devs'] }] } }, { deny: { kubernetes_values: ['secrets'] } }],
      null,
    ],
    ['that no longer hides values', {}, { deny: { kubernetes_values: ['secrets'] } }, [dev], /deny.kubernetes_values/],
    ['that loses a term', dev, { ...dev, require_session_mfa: true }, [dev], /require_session_mfa/],
    ['that loses a demand', dev, { ...dev, moderation: {} }, [dev], /moderation/],
    ['that demands fewer people', { ...dev, moderation: {} }, { ...dev, moderation: { count: 2 } }, [dev], /moderation/],
    [
      'that accepts more modes',
      { ...dev, moderation: { modes: ['observer', 'moderator'] } },
      { ...dev, moderation: {} },
      [dev],
      /moderation/,
    ],
    [
      'that demands other people',
      { ...dev, moderation: { where: "'b' in user.roles" } },
      { ...dev, moderation: { where: "'a' in user.roles" } },
      [dev],
      /moderation/,
    ],
    ['that pauses instead of ending', { ...dev, moderation: {} }, { ...dev, moderation: { on_leave: 'terminate' } }, [dev], /moderation/],
    [
      'that loses a rule on requesting nodes, which may hide another',
      {},
      { allow: { request: [{ nodes: { env: 'prod' } }] } },
      [dev],
      /hide one of another role/,
    ],
    [
      'that shows recordings without the watermark of its author',
      { view: 'own' },
      undefined,
      [{ view: 'own', watermark: true }],
      /to view/,
    ],
    ['that shows them with the watermark', { view: 'own', watermark: true }, undefined, [{ view: 'own' }, { watermark: true }], null],
    ['that loses a watermark', {}, { watermark: true }, [{}], /watermark is looser/],
    ['that lives longer', { ...dev, max_ttl: '12h' }, { ...dev, max_ttl: '1h' }, [dev], /max_ttl/],
  ])('%s', (_claim, written, before, held, refusal) => {
    const answer = lacking(written, before, ...held);
    if (refusal === null) expect(answer).toBeNull();
    else expect(answer).toMatch(refusal);
  });
});

test.each<[string, object, boolean]>([
  ['the same', dev, true],
  ['with fewer nodes', { allow: { nodes: { env: 'dev', team: 'x' }, logins: ['www'] } }, true],
  ['with an additional login', { allow: { nodes: { env: 'dev' }, logins: ['www', 'root'] } }, false],
  ['with stricter terms', { ...dev, idle_timeout: '5m' }, true],
  ['that records less', { ...dev, recording: { mode: 'best_effort' } }, false],
  ['with nothing at all', {}, true],
  ['that administers too', { ...dev, administer: true }, false],
  ['that denies more', { ...dev, deny: { logins: ['www'] } }, true],
])('a role %s is narrower: %s', (_claim, more, narrower) => {
  const template = { allow: { nodes: { env: 'dev' }, logins: ['{user}'] } };
  expect(isNarrower(role(more), role(dev))).toBe(narrower);
  expect(isNarrower(role(template), role(template))).toBe(true);
});

test('a role whose terminals wait longer for a network than those of its author is looser', () => {
  const lacks = (held: object, given: object): unknown =>
    lackingForRole({ roles: [role({ ...dev, ...held })], person: { user: 'ann', traits: {} } }, role({ ...dev, ...given }), undefined);
  expect(lacks({ reconnect: '1m' }, { reconnect: '30s' })).toBeNull();
  expect(lacks({ reconnect: '1m' }, {})).toBeNull();
  expect(lacks({ reconnect: '1m' }, { reconnect: '2m' })).not.toBeNull();
  expect(lacks({}, { reconnect: '5s' })).not.toBeNull();
});

test('a moderation demand is looser if participants prove their presence less often or never', () => {
  const lacks = (held: object, given: object): unknown =>
    lackingForRole(
      { roles: [role({ ...dev, moderation: held })], person: { user: 'ann', traits: {} } },
      role({ ...dev, moderation: given }),
      undefined,
    );
  expect(lacks({ presence: '10m' }, { presence: '10m' })).toBeNull();
  expect(lacks({ presence: '10m' }, { presence: '5m' })).toBeNull();
  expect(lacks({}, { presence: '5m' })).toBeNull();
  expect(lacks({ presence: '10m' }, { presence: '11m' })).not.toBeNull();
  expect(lacks({ presence: '10m' }, {})).not.toBeNull();
});

test('every field of roles is compared: an unknown field must be identical', () => {
  const filled = role({ ...dev });
  const more = { ...filled, allow: { ...filled.allow, new_power: true } } as Role;
  expect(lackingForRole({ roles: [role({ administer: true, ...dev })], person: { user: 'ann', traits: {} } }, more, undefined)).toMatch(
    /new_power/,
  );
  expect(lackingForRole({ roles: [filled], person: { user: 'ann', traits: {} } }, { ...filled, new_term: 1 } as Role, undefined)).toMatch(
    /new_term/,
  );
  // All fields of the schema are known, so none is left to this rule.
  expect(
    lackingForRole(
      { roles: [role(dev)], person: { user: 'ann', traits: {} } },
      role({ ...dev, max_session_length: '1h', idle_timeout: '1h', max_sessions: 1 }),
      undefined,
    ),
  ).toBeNull();
});
