import { describe, expect, test } from 'vitest';
import { roleSchema } from './role.js';
import type { Role } from './role.js';

const role = (more: object): Role => roleSchema.parse({ kind: 'role', name: 'r', ...more });

describe('a role document', () => {
  test('gets safe defaults', () => {
    expect(role({})).toMatchObject({
      version: 2,
      max_ttl: 43_200,
      recording: {
        mode: 'strict',
        streams: 'commands',
        limit: 1 << 20,
        unechoed: 'digest',
        enhanced: { mode: 'best_effort', classes: ['exec', 'file', 'network', 'dns', 'security'] },
      },
      view: 'own',
      administer: false,
      require_session_mfa: false,
      disconnect_expired_cert: false,
    });
  });

  test('of version 1 is accepted unchanged, and the result can be parsed again', () => {
    const old = {
      kind: 'role',
      name: 'old',
      max_ttl: 3600,
      allow: { nodes: { env: 'prod' }, logins: ['www'] },
      deny: { nodes: {}, logins: ['root'] },
      port_forwarding: false,
      agent_forwarding: true,
      recording: { mode: 'best_effort', streams: 'full', limit: 7 },
      view: 'all',
      administer: true,
    };
    const read = roleSchema.parse(old);
    expect(read).toMatchObject(old);
    expect(roleSchema.parse(JSON.parse(JSON.stringify(read)))).toEqual(read);
  });

  test.each([
    ['30s', 30],
    ['15m', 900],
    ['8h', 28_800],
    ['1d', 86_400],
    [90, 90],
  ])('accepts the duration %j', (written, seconds) => {
    if (seconds >= 60) expect(role({ max_ttl: written }).max_ttl).toBe(seconds);
    else expect(roleSchema.safeParse({ kind: 'role', name: 'r', max_ttl: written }).success).toBe(false);
  });

  test.each([
    { name: '../x' },
    { name: 'a..b' },
    { version: 3 },
    { max_ttl: 59 },
    { max_ttl: 108_001 },
    { max_ttl: '8 hours' },
    { max_ttl: '-1h' },
    { administrator: true },
    { kind: 'user' },
    { allow: { logins: ['-x'] } },
    { allow: { logins: ['a b'] } },
    { allow: { logins: ['{users}'] } },
    { allow: { logins: ['{user}{user}'] } },
    { allow: { logins: ['{traits.__proto__}'] } },
    { moderation: { count: 0 } },
    { moderation: { modes: [] } },
    { moderation: { modes: ['owner'] } },
    { moderation: { where: 'user.name' } },
    { moderation: { on_leave: 'nothing' } },
    { recording: { mode: 'off' } },
    { recording: { streams: 'some' } },
    { recording: { unechoed: 'none' } },
    { recording: { enhanced: { classes: ['everything'] } } },
    { allow: { nodes: { env: [] } } },
    { allow: { nodes: { env: 1 } } },
    { allow: { node_expression: 'labels.env' } },
    { allow: { node_expression: "session.user == 'x'" } },
    { deny: { port_forwarding: 'yes' } },
    { port_forwarding: { locally: true } },
    { port_forwarding: { to: [] } },
    { port_forwarding: { to: ['10.0.0.1/8'] } },
    { port_forwarding: { to: ['0x7f.1'] } },
    { port_forwarding: { to: ['10.0.0.0/8:70000'] } },
    { port_forwarding: { to: ['db:90-80'] } },
    { port_forwarding: { to: ['a b'] } },
    { deny: { port_forwarding: { to: ['[10.0.0.1]:80'] } } },
    { port_forwarding: { to: Array(65).fill('*') } },
    { max_sessions: 0 },
    { allow: { sessions: [{ actions: ['watch'] }] } },
    { allow: { rules: [{ resources: ['roles'], verbs: ['read'] }] } },
    { allow: { rules: [{ resources: ['role'] }] } },
    { allow: { kubernetes: [{ namespaces: ['*prod'] }] } },
    { allow: { kubernetes: [{ groups: ['a b'] }] } },
    { allow: { kubernetes_values: ['secrets'] } },
    { deny: { kubernetes_values: ['secrets/status'] } },
    { allow: { request: [{ thresholds: { approve: 0 } }] } },
    { allow: { approve: [{ where: "labels.x == 'y'" }] } },
  ])('%j is refused', (more) => expect(roleSchema.safeParse({ kind: 'role', name: 'r', ...more }).success).toBe(false));
});
