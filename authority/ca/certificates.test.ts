import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { loginsOf } from '#schemas/policy/node.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { Role } from '#schemas/policy/role.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { SshWriter } from '#schemas/ssh/wire.js';
import type { UserGrant } from './certificates.js';
import { certifiableKey, hostPrincipals, recordingShape, userShape } from './certificates.js';
import { Cleanup, temporaryFolder } from '../testing/authority.js';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());
const role = (more: object): Role => roleSchema.parse({ kind: 'role', name: 'r', ...more });
const now = 1_763_800_000_000;

describe('a key to be certified', () => {
  test.each([
    ['ed25519', []],
    ['ecdsa', ['-b', '256']],
    ['ecdsa', ['-b', '384']],
    ['ecdsa', ['-b', '521']],
    ['rsa', ['-b', '2048']],
    ['rsa', ['-b', '4096']],
  ] as const)('may be %s %j', (type, more) => {
    const file = join(temporaryFolder(cleanup), 'key');
    execFileSync('ssh-keygen', ['-q', '-t', type, ...more, '-N', '', '-f', file]);
    expect(certifiableKey(readFileSync(`${file}.pub`, 'utf8')).length).toBeGreaterThan(30);
  });

  test('may live in a security key', () => {
    const ed25519 = new SshWriter().utf8('sk-ssh-ed25519@openssh.com').string(new Uint8Array(32).fill(1)).utf8('ssh:').bytes();
    const point = Buffer.concat([Buffer.of(4), Buffer.alloc(64, 1)]);
    const ecdsa = new SshWriter().utf8('sk-ecdsa-sha2-nistp256@openssh.com').utf8('nistp256').string(point).utf8('ssh:').bytes();
    for (const blob of [ed25519, ecdsa]) expect(certifiableKey(formatPublicLine(blob))).toEqual(blob);
  });

  test('may not be RSA below 2048 bits, DSA, a certificate, a private key or several lines', () => {
    const rsa = (bits: number): string => {
      const jwk = generateKeyPairSync('rsa', { modulusLength: bits }).publicKey.export({ format: 'jwk' });
      const part = (text: unknown): Buffer => Buffer.from(String(text), 'base64url');
      return formatPublicLine(new SshWriter().utf8('ssh-rsa').mpint(part(jwk.e)).mpint(part(jwk.n)).bytes());
    };
    const dsa = formatPublicLine(new SshWriter().utf8('ssh-dss').string(new Uint8Array(64)).bytes());
    for (const line of [rsa(1024), dsa, '', 'ssh-ed25519', '-----BEGIN OPENSSH PRIVATE KEY-----', 'ssh-ed25519 AAAA\nssh-ed25519 AAAA']) {
      expect(() => certifiableKey(line)).toThrow(expect.objectContaining({ code: 'KEY_GARBLED' }));
    }
    expect(() => certifiableKey(rsa(2048))).not.toThrow();
  });
});

describe('a user certificate', () => {
  const key = new SshWriter().utf8('ssh-ed25519').string(new Uint8Array(32)).bytes();
  const grant = (roles: readonly Role[]): UserGrant => ({ user: 'ann', roles, granted: [], traits: {}, mfa: null, requests: [] });

  test('lives as long as the shortest role allows', () => {
    const shape = userShape(
      grant([role({ max_ttl: 3600, allow: { nodes: {}, logins: ['www'] } }), role({ name: 's', max_ttl: 600 })]),
      key,
      now,
    );
    expect(shape.validBefore).toBe(BigInt(now / 1000 + 600));
  });
  test('names the logins of all roles once, the own name filled in, and the pseudo principal for any', () => {
    const roles = [role({ allow: { nodes: {}, logins: ['www', '{user}', '*'] } }), role({ allow: { nodes: {}, logins: ['www', 'root'] } })];
    expect(loginsOf({ user: 'ann', traits: {}, roles })).toEqual(['*', 'ann', 'root', 'www']);
    expect(userShape(grant(roles), key, now).principals).toEqual([
      '-steno-any',
      '-steno-login:ann',
      '-steno-login:root',
      '-steno-login:www',
    ]);
  });
  test('is not made of no roles', () =>
    expect(() => userShape(grant([]), key, now)).toThrow(expect.objectContaining({ code: 'ACCESS_DENIED' })));
  test('of roles without a login names one that nobody has: without any it would be good for all', () => {
    expect(userShape(grant([role({})]), key, now).principals).toEqual(['-steno-none']);
    const many = role({ allow: { logins: Array.from({ length: 256 }, (_, n) => `svc${n}`) } });
    expect(userShape(grant([many]), key, now).principals).toHaveLength(256);
    expect(() => userShape(grant([many, role({ name: 'more', allow: { logins: ['one-more'] } })]), key, now)).toThrow(/257 logins/);
  });
  test('names the logins that were granted, and not the granted roles', () => {
    const shape = userShape(
      {
        ...grant([role({})]),
        granted: [role({ name: 'dba', max_ttl: 300, allow: { nodes: {}, logins: ['postgres'] } })],
        requests: ['r-1'],
      },
      key,
      now,
    );
    expect(shape.principals).toEqual(['-steno-login:postgres']);
    expect(shape.extensions.get('roles@steno')).toBe('r');
    expect(shape.extensions.get('requests@steno')).toBe('r-1');
    expect(shape.validBefore).toBe(BigInt(now / 1000 + 300));
  });
  test('does not permit the forwarding that no role gives', () => {
    const shape = userShape(
      grant([role({ allow: { nodes: {}, logins: ['www'] }, port_forwarding: false, agent_forwarding: false })]),
      key,
      now,
    );
    expect([...shape.extensions.keys()]).not.toContain('permit-port-forwarding');
    expect([...shape.extensions.keys()]).not.toContain('permit-agent-forwarding');
  });
});

describe('a recording certificate', () => {
  const key = new SshWriter().utf8('ssh-ed25519').string(new Uint8Array(32)).bytes();
  const begins = (since?: number): number => Number(recordingShape('gw-1', key, now, since).validAfter) * 1000;
  const day = 86_400_000;

  test('that is renewed covers what the same key has signed before it, thirty days back at most', () => {
    expect(begins()).toBe(now - 60_000);
    expect(begins(now - day)).toBe(now - day - 60_000);
    expect(begins(now - 365 * day)).toBe(now - 30 * day - 60_000);
  });
});

describe('host names', () => {
  test('of a service include the pseudo domain, each once', () =>
    expect(hostPrincipals({ name: 'gw' }, ['GW', 'localhost'])).toEqual(['gw', 'gw.steno', 'localhost']));
});
