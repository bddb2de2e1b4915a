import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../base/errors.js';
import { checkCertificate } from './admission.js';
import type { AdmissionRequest } from './admission.js';
import type { SshCertificate } from './certificate.js';

const now = 1_900_000_000;
const ca = Uint8Array.of(1);
const user: SshCertificate = {
  certType: 'ssh-ed25519-cert-v01@openssh.com',
  keyType: 'ssh-ed25519',
  nonce: new Uint8Array(16),
  publicKey: Uint8Array.of(2),
  serial: 7n,
  kind: 'user',
  keyId: 'alice',
  principals: ['alice', 'root'],
  validAfter: BigInt(now - 60),
  validBefore: BigInt(now + 60),
  criticalOptions: new Map(),
  extensions: new Map([['permit-pty', '']]),
  signatureKey: ca,
  signature: Uint8Array.of(3),
  signed: Uint8Array.of(4),
};
const host: SshCertificate = { ...user, kind: 'host', principals: ['web-3', 'web-3.example.org'] };
const verify = (): boolean => true;
const request: AdmissionRequest = { kind: 'user', now, trusted: [ca], principal: 'alice', sourceAddress: '192.0.2.1', verify };
const forHost: AdmissionRequest = { kind: 'host', now, trusted: [ca], principal: 'web-3', verify };
const options = (...entries: readonly (readonly [string, string])[]) => ({ criticalOptions: new Map(entries) });

type Row = readonly [name: string, certificate: SshCertificate, request: AdmissionRequest, expected: 'ok' | ErrorCode];
const without = (left: 'principal' | 'sourceAddress', from: AdmissionRequest): AdmissionRequest => {
  const { [left]: _, ...rest } = from;
  return rest;
};

const table: readonly Row[] = [
  ['a good certificate', user, request, 'ok'],
  ['for its other login', user, { ...request, principal: 'root' }, 'ok'],
  ['for any login, if none is required', user, without('principal', request), 'ok'],
  ['of the second trusted CA', user, { ...request, trusted: [Uint8Array.of(9), ca] }, 'ok'],
  // CA and signature
  ['of an unknown CA', user, { ...request, trusted: [Uint8Array.of(9)] }, 'CERT_UNKNOWN_CA'],
  ['of a CA whose key has the same beginning', user, { ...request, trusted: [Uint8Array.of(1, 0)] }, 'CERT_UNKNOWN_CA'],
  ['if no CA is trusted', user, { ...request, trusted: [] }, 'CERT_UNKNOWN_CA'],
  ['with a wrong signature', user, { ...request, verify: () => false }, 'CERT_UNKNOWN_CA'],
  // kind
  ['of a host, if a user is needed', host, request, 'CERT_WRONG_KIND'],
  ['of a user, if a host is needed', user, forHost, 'CERT_WRONG_KIND'],
  // validity
  ['in its first second', user, { ...request, now: now - 60 }, 'ok'],
  ['30 s before it begins', user, { ...request, now: now - 90 }, 'ok'],
  ['31 s before it begins', user, { ...request, now: now - 91 }, 'CERT_NOT_YET_VALID'],
  ['in its last second', user, { ...request, now: now + 59.9 }, 'ok'],
  ['in the second it ends', user, { ...request, now: now + 60 }, 'CERT_EXPIRED'],
  ['valid forever', { ...user, validAfter: 0n, validBefore: 2n ** 64n - 1n }, request, 'ok'],
  ['that begins at the end of time', { ...user, validAfter: 2n ** 64n - 1n, validBefore: 2n ** 64n - 1n }, request, 'CERT_NOT_YET_VALID'],
  ['that ends before it begins', { ...user, validAfter: BigInt(now), validBefore: BigInt(now - 1) }, request, 'CERT_EXPIRED'],
  // critical options
  ['with an unknown option', { ...user, ...options(['frobnicate', '']) }, request, 'CERT_UNKNOWN_OPTION'],
  [
    'with force-command, which the caller does not know',
    { ...user, ...options(['force-command', 'uptime']) },
    request,
    'CERT_UNKNOWN_OPTION',
  ],
  [
    'with force-command, which the caller enforces',
    { ...user, ...options(['force-command', 'uptime']) },
    { ...request, knownCriticalOptions: new Set(['force-command']) },
    'ok',
  ],
  [
    'with verify-required, which the caller does not know',
    { ...user, ...options(['verify-required', '']) },
    request,
    'CERT_UNKNOWN_OPTION',
  ],
  [
    'of a host, with any option',
    { ...host, ...options(['source-address', '0.0.0.0/0']) },
    { ...forHost, knownCriticalOptions: new Set(['source-address']) },
    'CERT_UNKNOWN_OPTION',
  ],
  ['from an address it names', { ...user, ...options(['source-address', '192.0.2.0/24,::1']) }, request, 'ok'],
  [
    'from an address it names, over a dual-stack socket',
    { ...user, ...options(['source-address', '192.0.2.0/24']) },
    { ...request, sourceAddress: '::ffff:192.0.2.1' },
    'ok',
  ],
  ['from elsewhere', { ...user, ...options(['source-address', '198.51.100.0/24']) }, request, 'CERT_WRONG_SOURCE'],
  [
    'bound to addresses, from an unknown address',
    { ...user, ...options(['source-address', '0.0.0.0/0']) },
    without('sourceAddress', request),
    'CERT_WRONG_SOURCE',
  ],
  ['with a malformed list of addresses', { ...user, ...options(['source-address', '192.0.2.1,']) }, request, 'CERT_WRONG_SOURCE'],
  ['with an empty list of addresses', { ...user, ...options(['source-address', '']) }, request, 'CERT_WRONG_SOURCE'],
  // principal
  ['without principals', { ...user, principals: [] }, request, 'CERT_WRONG_PRINCIPAL'],
  ['without principals, if no login is required', { ...user, principals: [] }, without('principal', request), 'CERT_WRONG_PRINCIPAL'],
  ['for another login', user, { ...request, principal: 'bob' }, 'CERT_WRONG_PRINCIPAL'],
  ['for a login in capitals', user, { ...request, principal: 'Alice' }, 'CERT_WRONG_PRINCIPAL'],
  ['for an empty login', user, { ...request, principal: '' }, 'CERT_WRONG_PRINCIPAL'],
  ['of the dialled host', host, forHost, 'ok'],
  ['of the host dialled in capitals', host, { ...forHost, principal: 'WEB-3.example.org' }, 'ok'],
  ['of another host', host, { ...forHost, principal: 'web-4' }, 'CERT_WRONG_PRINCIPAL'],
  ['of a host without names', { ...host, principals: [] }, forHost, 'CERT_WRONG_PRINCIPAL'],
  ['of a host with a wildcard', { ...host, principals: ['*'] }, forHost, 'CERT_WRONG_PRINCIPAL'],
  ['of a host, if no name is given', host, without('principal', forHost), 'CERT_WRONG_PRINCIPAL'],
  // order: the first failure is reported
  ['expired, of an unknown CA', { ...user, validBefore: 0n }, { ...request, trusted: [] }, 'CERT_UNKNOWN_CA'],
  ['expired, with a wrong signature', { ...user, validBefore: 0n }, { ...request, verify: () => false }, 'CERT_UNKNOWN_CA'],
  [
    'expired, with an unknown option, for another login',
    { ...user, validBefore: 0n, ...options(['x', '']) },
    { ...request, principal: 'bob' },
    'CERT_EXPIRED',
  ],
  [
    'from elsewhere, for another login',
    { ...user, ...options(['source-address', '10.0.0.1']) },
    { ...request, principal: 'bob' },
    'CERT_WRONG_SOURCE',
  ],
];

describe('a certificate', () => {
  it.each(table)('%s', (_name, certificate, asked, expected) => {
    const admission = checkCertificate(certificate, asked);
    expect(admission.ok ? 'ok' : admission.code).toBe(expected);
  });

  it('is verified with its CA key over the signed bytes', () => {
    const calls: unknown[] = [];
    checkCertificate(user, { ...request, verify: (...call) => calls.push(call) > 0 });
    expect(calls).toEqual([[ca, user.signature, user.signed]]);
  });

  it('of an unknown CA is not even verified', () => {
    checkCertificate(user, { ...request, trusted: [], verify: () => expect.fail('verified') });
  });

  it('that is refused names the time, address or principal', () => {
    const detail = (certificate: SshCertificate, asked: AdmissionRequest) => {
      const admission = checkCertificate(certificate, asked);
      return admission.ok ? 'ok' : admission.detail;
    };
    expect(detail(user, { ...request, now: now + 60 })).toBe('it ended at 2030-03-17T17:47:40.000Z');
    expect(detail({ ...user, validAfter: 2n ** 64n - 1n }, request)).toBe('it begins at the end of time');
    expect(detail(user, { ...request, principal: 'bob\n' })).toBe('it does not name "bob\\n"');
    // A stranger chooses the name.
    expect(detail(user, { ...request, principal: 'b'.repeat(200) })).toBe(`it does not name "${'b'.repeat(128)}"`);
    expect(detail(host, without('principal', forHost))).toBe('it is not for the host ""');
    const bound = { ...user, ...options(['source-address', '198.51.100.0/24']) };
    expect(detail(bound, request)).toBe('from 192.0.2.1');
    expect(detail(bound, without('sourceAddress', request))).toBe('from an unknown address');
    const lastDate = 8_640_000_000_000n;
    expect(detail({ ...user, validAfter: lastDate }, request)).toBe('it begins at +275760-09-13T00:00:00.000Z');
    expect(detail({ ...user, validAfter: lastDate + 1n }, request)).toBe('it begins at the end of time');
  });
});
