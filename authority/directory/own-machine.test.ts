import { describe, expect, test } from 'vitest';
import type { NodeRecord } from '#schemas/policy/role.js';
import { markOwnAccounts } from './own-machine.js';

const machine = { owner: 'steno', hostname: 'vm', addresses: ['127.0.0.1', '10.0.0.5', 'fd00::5'] };
const node = (more: Partial<NodeRecord>): NodeRecord => ({
  name: 'n',
  kind: 'openssh',
  address: '10.9.9.9:22',
  labels: {},
  host_keys: [],
  last_seen_at: null,
  ...more,
});

describe('a node on the machine of the authority', () => {
  test.each<[string, Partial<NodeRecord>, boolean]>([
    ['the node service of steno up', { kind: 'agent', address: '127.0.0.1:4022' }, true],
    ['the same, wherever it says it listens', { kind: 'agent', address: '10.9.9.9:22' }, true],
    ['an agent that joined by a token', { kind: 'agent', address: '', tunnel_key: '0'.repeat(64) }, false],
    ['an OpenSSH server elsewhere', {}, false],
    ['an OpenSSH server on loopback', { address: '127.0.0.1:22' }, true],
    ['on another address of loopback', { address: '127.3.4.5:22' }, true],
    ['on loopback of IPv6', { address: '[::1]:22' }, true],
    ['on localhost', { address: 'LocalHost:22' }, true],
    ['on an address of this machine', { address: '10.0.0.5:22' }, true],
    ['on one of IPv6', { address: '[fd00:0::5]:22' }, true],
    ['by its name', { address: 'vm:22' }, true],
    ['on a name that only looks alike', { address: 'vm2:22' }, false],
  ])('%s: %s', (_what, more, here) => {
    const [marked] = markOwnAccounts([node(more)], machine);
    expect(marked!.owner_logins).toEqual(here ? ['steno', 'root'] : undefined);
  });

  test('names root once', () =>
    expect(markOwnAccounts([node({ kind: 'agent' })], { ...machine, owner: 'root' })[0]!.owner_logins).toEqual(['root']));
});
