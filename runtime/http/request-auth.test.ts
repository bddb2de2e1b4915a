import { describe, expect, test } from 'vitest';
import type { Lock } from '#schemas/documents/lock.js';
import { EXTENSION_ROLES, EXTENSION_USER, OPTION_GATEWAY_ONLY } from '#schemas/base/identity.js';
import { roleSchema } from '#schemas/policy/role.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { RequestVerifier, rolesNamed, signRequest } from './request-auth.js';
import type { ReceivedRequest } from './request-auth.js';
import { issueCertificate } from '../ssh/issue.js';
import type { IssueFields } from '../ssh/issue.js';
import { generateKey } from '../ssh/keys.js';

const start = 1_763_800_000_000;
const ca = generateKey();
const key = generateKey();
const admin = roleSchema.parse({ kind: 'role', name: 'admin' });

function certificate(more: Partial<IssueFields> = {}, by = ca): Uint8Array {
  return issueCertificate(by, {
    publicKey: key.publicBlob,
    serial: 7n,
    kind: 'user',
    keyId: 'user=ann',
    principals: ['ann'],
    validAfter: BigInt(start / 1000 - 60),
    validBefore: BigInt(start / 1000 + 3600),
    criticalOptions: new Map([[OPTION_GATEWAY_ONLY, '']]),
    extensions: new Map([
      [EXTENSION_USER, 'ann'],
      [EXTENSION_ROLES, 'admin'],
    ]),
    ...more,
  });
}

function setUp({ locks = [], maxNonces }: { locks?: Lock[]; maxNonces?: number } = {}): {
  verifier: RequestVerifier;
  time: { now: number };
} {
  const time = { now: start };
  const trust = { ssh_user_ca: [formatPublicLine(ca.publicBlob)], roles: [admin], locks, grants: [] };
  const verifier = new RequestVerifier(() => trust, { clock: () => time.now, ...(maxNonces === undefined ? {} : { maxNonces }) });
  time.now += 1;
  return { verifier, time };
}

const body = Buffer.from('{"a":1}');
const received = (more: Partial<ReceivedRequest> & { cert?: Uint8Array; time?: number } = {}): ReceivedRequest => ({
  method: 'PUT',
  target: '/v1/x?y=z',
  body,
  sourceAddress: '10.0.0.1',
  authorization: signRequest(key, more.cert ?? certificate(), 'PUT', '/v1/x?y=z', body, more.time ?? start + 1),
  ...more,
});
const refusal = (code: string): Error => expect.objectContaining({ code }) as Error;

describe('a signed request', () => {
  test('names its user and the roles as they are now', () => {
    expect(setUp().verifier.verify(received())).toMatchObject({ identity: { user: 'ann', serial: '7' }, roles: [{ name: 'admin' }] });
  });

  test.each([
    ['no header', { authorization: undefined }, 'NOT_SIGNED_IN'],
    ['another method', { method: 'GET' }, 'CERT_BAD_SIGNATURE'],
    ['another target', { target: '/v1/x?y=zz' }, 'CERT_BAD_SIGNATURE'],
    ['another body', { body: Buffer.from('{"a":2}') }, 'CERT_BAD_SIGNATURE'],
    ['an old time', { time: start - 60_001 }, 'REQUEST_REPLAYED'],
    ['a time before the verifier began', { time: start - 1 }, 'REQUEST_REPLAYED'],
    ['a time too far ahead', { time: start + 60_002 }, 'REQUEST_REPLAYED'],
    ['a certificate of another CA', { cert: certificate({}, generateKey()) }, 'CERT_UNKNOWN_CA'],
    ['an expired certificate', { cert: certificate({ validBefore: BigInt(start / 1000) }) }, 'CERT_EXPIRED'],
    ['a host certificate', { cert: certificate({ kind: 'host' }) }, 'CERT_WRONG_KIND'],
    ['a session certificate', { cert: certificate({ extensions: new Map() }) }, 'CERT_GARBLED'],
    [
      'a certificate for another address',
      { cert: certificate({ criticalOptions: new Map([['source-address', '192.168.0.0/16']]) }) },
      'CERT_WRONG_SOURCE',
    ],
    ['an unknown option', { cert: certificate({ criticalOptions: new Map([['force-command', 'x']]) }) }, 'CERT_UNKNOWN_OPTION'],
    [
      'a role that is gone',
      {
        cert: certificate({
          extensions: new Map([
            [EXTENSION_USER, 'ann'],
            [EXTENSION_ROLES, 'admin,gone'],
          ]),
        }),
      },
      'ACCESS_DENIED',
    ],
    ['a key that is not the certified one', { cert: certificate({ publicKey: generateKey().publicBlob }) }, 'CERT_BAD_SIGNATURE'],
  ])('with %s is refused', (_why, change, code) => {
    expect(() => setUp().verifier.verify(received(change))).toThrow(refusal(code));
  });

  test.each(['user', 'role'] as const)('of a locked %s is refused, until the lock is over', (target_kind) => {
    const target = target_kind === 'user' ? 'ann' : 'admin';
    const { verifier, time } = setUp({ locks: [{ id: 'l', target_kind, target, reason: '', expires_at: start + 1000 }] });
    expect(() => verifier.verify(received())).toThrow(refusal('LOCKED'));
    time.now = start + 1000;
    verifier.verify(received());
  });

  test('passes once; the next one passes too', () => {
    const { verifier } = setUp();
    const once = received();
    verifier.verify(once);
    expect(() => verifier.verify(once)).toThrow(refusal('REQUEST_REPLAYED'));
    verifier.verify(received());
  });

  test('cannot make the verifier forget a nonce: a full memory refuses requests until entries expire', () => {
    const { verifier, time } = setUp({ maxNonces: 3 });
    const first = received();
    for (const request of [first, received(), received()]) verifier.verify(request);
    expect(() => verifier.verify(received())).toThrow(refusal('TOO_MANY'));
    expect(() => verifier.verify(first)).toThrow(refusal('REQUEST_REPLAYED'));
    time.now += 60_001;
    verifier.verify(received({ time: time.now }));
  });

  test('with a bad signature takes no space in the memory', () => {
    const { verifier } = setUp({ maxNonces: 1 });
    for (let i = 0; i < 5; i += 1) expect(() => verifier.verify(received({ method: 'GET' }))).toThrow(refusal('CERT_BAD_SIGNATURE'));
    verifier.verify(received());
  });
});

describe('roles of a snapshot', () => {
  const role = (name: string, more: object = {}) => roleSchema.parse({ kind: 'role', name, ...more });

  test('requested by the same names are the same array, and a missing role is refused', () => {
    const known = [role('a'), role('b'), role('c')];
    expect(rolesNamed(['c', 'a'], known).map(({ name }) => name)).toEqual(['c', 'a']);
    expect(rolesNamed(['c', 'a'], known)).toBe(rolesNamed(['c', 'a'], known));
    expect(() => rolesNamed(['a', 'gone'], known)).toThrow(/gone no longer exists/);
  });
});
