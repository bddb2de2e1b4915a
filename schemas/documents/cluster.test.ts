import { describe, expect, test } from 'vitest';
import { CLUSTER_LABEL, clusterName, importedIdentity, parseStatement, remoteNode, roleMap } from './cluster.js';
import type { TrustedCluster } from './cluster.js';
import type { UserIdentity } from '../base/identity.js';

const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA steno';
const statement = {
  version: 1 as const,
  name: 'b',
  issued_at: 5,
  ssh_user_ca: [key],
  ssh_host_ca: [key],
  gateways: ['gw.b.example:8022', '[::1]:8022'],
  updates: 'https://b.example/cluster',
};
const cluster: TrustedCluster = { ...statement, role_map: { dev: ['readonly', 'staging'], ops: ['readonly'], empty: [] }, reach: true };
const ann: UserIdentity = {
  user: 'ann',
  roles: ['dev', 'ops', 'admin'],
  traits: { logins: ['root'] },
  mfa: 'totp-1',
  requests: ['r-1'],
  cluster: null,
  serial: '1',
  keyId: 'k',
  validBefore: 10,
};

describe('a statement', () => {
  test('is parsed as it was written', () => expect(parseStatement(JSON.stringify(statement))).toEqual(statement));
  test.each([
    ['not JSON', '{'],
    ['another version', { version: 2 }],
    ['an unknown field', { more: 1 }],
    ['no key', { ssh_user_ca: [] }],
    ['a key with a second line', { ssh_host_ca: [`${key}\nssh-rsa AAAA`] }],
    ['a name with a dot', { name: 'b.c' }],
    ['a name with the mark of users', { name: 'b_at_c' }],
    ['a gateway without a port', { gateways: ['gw'] }],
    ['an address that is not http', { updates: 'file:///etc/passwd' }],
    ['an impossible time', { issued_at: -1 }],
    ['too many keys', { ssh_user_ca: Array(9).fill(key) }],
  ])('is refused: %s', (_why, change) => {
    expect(parseStatement(typeof change === 'string' ? change : JSON.stringify({ ...statement, ...change }))).toBeNull();
  });
});

describe('a user of another cluster', () => {
  test('is admitted under a separate name, with mapped roles and nothing else from the other side', () => {
    expect(importedIdentity(ann, cluster)).toEqual({
      ...ann,
      user: 'ann_at_b',
      roles: ['readonly', 'staging'],
      traits: {},
      mfa: null,
      requests: [],
      cluster: 'b',
    });
  });
  test.each([
    ['no mapped role', ['admin']],
    ['a role mapped to nothing', ['empty']],
    ['a role with the name of an inherited property', ['constructor', 'toString']],
  ])('is not admitted with %s', (_why, roles) => {
    expect(importedIdentity({ ...ann, roles }, cluster)).toBeNull();
  });
  test('is not admitted under a name that is too long', () =>
    expect(importedIdentity({ ...ann, user: 'x'.repeat(60) }, cluster)).toBeNull());
  test('is distinguished from a user of a third cluster whose name ends in the same way', () => {
    expect(importedIdentity({ ...ann, user: 'ann_at_c' }, cluster)?.user).toBe('ann_at_c_at_b');
  });
  test('a map names roles', () => {
    expect(roleMap.safeParse({ dev: ['a'] }).success).toBe(true);
    for (const map of [{ dev: [] }, { '../x': ['a'] }, { dev: ['*'] }]) expect(roleMap.safeParse(map).success).toBe(false);
  });
});

describe('a node of another cluster', () => {
  test.each([
    ['web-1.b', 'web-1'],
    ['WEB-1.b.steno', 'web-1'],
    ['db.example.b', 'db.example'],
  ])('%s is %s there', (wanted, inner) => {
    expect(remoteNode([cluster], wanted)).toMatchObject({
      inner,
      cluster: { name: 'b' },
      node: { address: 'gw.b.example:8022', labels: { [CLUSTER_LABEL]: 'b' } },
    });
  });
  test.each([
    ['of an unknown cluster', 'web-1.c', cluster],
    ['without a node', '.b', cluster],
    ['the cluster alone', 'b', cluster],
    ['with an invalid name', 'a..b', cluster],
    ['of a cluster that our users may not reach', 'web-1.b', { ...cluster, reach: false }],
    ['of a cluster without a gateway', 'web-1.b', { ...cluster, gateways: [] }],
  ])('is none: %s', (_why, wanted, known) => expect(remoteNode([known], wanted)).toBeUndefined());
});

test.each(['', 'B', 'a.b', 'a_b', '-a', 'a-', 'a b', 'x'.repeat(33)])('%j is not a cluster name', (name) =>
  expect(clusterName.safeParse(name).success).toBe(false),
);
