import { expect, it } from 'vitest';
import { nodeTrust } from './join.js';

const trust = { time: 1, ssh_user_ca: ['ssh-ed25519 AAAA'], service_ca: [], signing: { ssh_host: '', service: '' }, gateways: ['gw:3024'] };

it('a node service accepts a document of a later version and ignores unknown fields', () => {
  expect(nodeTrust.parse({ ...trust, later: [1], signing: { ...trust.signing, later: '' } })).toEqual(trust);
});

it.each([
  ['no moment', { time: 0 }],
  ['no keys', { ssh_user_ca: undefined }],
  ['gateways that are not addresses', { gateways: ['gw'] }],
])('a trust document with %s is refused', (_what, change) => expect(nodeTrust.safeParse({ ...trust, ...change }).success).toBe(false));
