import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { encodeCertificate, encodeUnsigned, parseCertificate } from '#schemas/ssh/certificate.js';
import { encodePublicKey, formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from './issue.js';
import type { IssueFields } from './issue.js';
import { generateKey, loadPrivateKey, verify } from './keys.js';
import { makeKeyFiles, readPublicFile, sshKeygen, temporaryFolder } from './openssh-oracle.js';

const folder = temporaryFolder();
afterAll(folder.remove);
const ca = generateKey();
const now = Date.UTC(2030, 0, 1) / 1000;
const fields: IssueFields = {
  publicKey: generateKey().publicBlob,
  serial: 18_446_744_073_709_551_615n,
  kind: 'user',
  keyId: 'alice@laptop',
  principals: ['alice', 'root'],
  validAfter: BigInt(now - 60),
  validBefore: BigInt(now + 3600),
  criticalOptions: new Map([
    ['source-address', '127.0.0.1/32,::1'],
    ['force-command', 'uptime'],
  ]),
  extensions: new Map([
    ['permit-pty', ''],
    ['steno-user@steno', 'alice'],
    ['permit-agent-forwarding', ''],
  ]),
};
const request = {
  kind: 'user',
  now,
  trusted: [ca.publicBlob],
  principal: 'alice',
  sourceAddress: '127.0.0.1',
  verify,
  knownCriticalOptions: new Set(['force-command']),
} as const;

function listing(blob: Uint8Array): string {
  const path = join(folder.path, 'listed-cert.pub');
  writeFileSync(path, `${formatPublicLine(blob)}\n`);
  return sshKeygen(['-L', '-f', path]);
}

describe('an issued certificate', () => {
  it('is read by ssh-keygen as intended', () => {
    const text = listing(issueCertificate(ca, fields));
    for (const part of [
      'user certificate',
      'Key ID: "alice@laptop"',
      'Serial: 18446744073709551615',
      'alice',
      'root',
      'source-address 127.0.0.1/32,::1',
      'force-command uptime',
      'permit-pty',
      'permit-agent-forwarding',
      'steno-user@steno',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('is admitted, and has its own nonce', () => {
    const [one, two] = [issueCertificate(ca, fields), issueCertificate(ca, fields)].map(parseCertificate);
    expect(checkCertificate(one!, request)).toEqual({ ok: true });
    expect(one!.nonce).not.toEqual(two!.nonce);
    expect(one!.extensions.get('steno-user@steno')).toBe('alice');
  });

  it('can be for every type of key, and for a host', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
    const point = Buffer.concat([Buffer.of(4), Buffer.from(ec.x ?? '', 'base64url'), Buffer.from(ec.y ?? '', 'base64url')]);
    const publicKeys = [
      encodePublicKey({ kind: 'ecdsa', type: 'ecdsa-sha2-nistp256', curve: 'nistp256', point }),
      encodePublicKey({ kind: 'sk-ecdsa', type: 'sk-ecdsa-sha2-nistp256@openssh.com', point, application: 'ssh:' }),
      encodePublicKey({ kind: 'sk-ed25519', type: 'sk-ssh-ed25519@openssh.com', point: Buffer.alloc(32, 7), application: 'ssh:' }),
    ];
    for (const publicKey of publicKeys) {
      const blob = issueCertificate(ca, { ...fields, publicKey, kind: 'host', criticalOptions: new Map(), extensions: new Map() });
      expect(listing(blob)).toContain('host certificate');
      expect(checkCertificate(parseCertificate(blob), { ...request, kind: 'host' })).toEqual({ ok: true });
    }
  });

  it('with fields that could not be parsed again is not issued', () => {
    const wrong: readonly Partial<IssueFields>[] = [
      { principals: [''] },
      { principals: Array.from({ length: 257 }, (_, i) => `p${i}`) },
      { keyId: 'a\0b' },
      { extensions: new Map([['name with space', '']]) },
      { publicKey: issueCertificate(ca, fields) },
      { keyId: 'x'.repeat(10_000) },
    ];
    for (const change of wrong) {
      expect(() => issueCertificate(ca, { ...fields, ...change })).toThrow(expect.objectContaining({ code: 'CERT_GARBLED' }));
    }
    expect(() => issueCertificate({ ...ca, publicBlob: issueCertificate(ca, fields) }, fields)).toThrow(StenoError);
  });
});

describe('a certificate made by ssh-keygen', () => {
  const caTypes = [
    ['ed25519', undefined],
    ['ecdsa', 256],
    ['ecdsa', 521],
    ['rsa', 3072],
  ] as const;
  const keyTypes = [
    ['ed25519', undefined],
    ['ecdsa', 256],
    ['ecdsa', 384],
    ['ecdsa', 521],
    ['rsa', 2048],
  ] as const;
  const validity = '20291231000000Z:20300102000000Z';

  it.each(caTypes)('of a CA of type %s %s passes for every type of key', (caType, caBits) => {
    const authority = makeKeyFiles(folder.path, `ca-${caType}-${caBits}`, caType, caBits);
    for (const [type, bits] of keyTypes) {
      const key = makeKeyFiles(folder.path, `user-${caType}-${caBits}-${type}-${bits}`, type, bits);
      sshKeygen([
        '-q',
        '-s',
        authority.path,
        '-I',
        'an id',
        '-n',
        'alice,bob',
        '-z',
        '42',
        '-V',
        validity,
        '-O',
        'source-address=127.0.0.0/8',
        '-O',
        'extension:login@example.org=alice',
        `${key.path}.pub`,
      ]);
      const blob = readPublicFile(`${key.path}-cert.pub`);
      const certificate = parseCertificate(blob);
      expect(certificate).toMatchObject({ kind: 'user', keyId: 'an id', principals: ['alice', 'bob'], serial: 42n });
      expect(Buffer.from(certificate.publicKey)).toEqual(key.blob);
      expect(certificate.extensions.get('login@example.org')).toBe('alice');
      expect(checkCertificate(certificate, { ...request, trusted: [authority.blob] })).toEqual({ ok: true });
      // Encoding it again gives the same bytes.
      expect(Buffer.from(encodeUnsigned(certificate))).toEqual(Buffer.from(certificate.signed));
      expect(Buffer.from(encodeCertificate(certificate, certificate.signature))).toEqual(blob);
    }
  });

  it('for a host passes for its names only', () => {
    const authority = makeKeyFiles(folder.path, 'host-ca', 'ed25519');
    const key = makeKeyFiles(folder.path, 'host', 'ed25519');
    sshKeygen(['-q', '-h', '-s', authority.path, '-I', 'web-3', '-n', 'web-3,web-3.example.org', '-V', validity, `${key.path}.pub`]);
    const certificate = parseCertificate(readPublicFile(`${key.path}-cert.pub`));
    const check = (principal: string) => checkCertificate(certificate, { kind: 'host', now, trusted: [authority.blob], principal, verify });
    expect(check('WEB-3')).toEqual({ ok: true });
    expect(check('web-4')).toMatchObject({ code: 'CERT_WRONG_PRINCIPAL' });
  });
});

describe('a damaged certificate', () => {
  const blob = issueCertificate(ca, fields);

  function outcome(bytes: Uint8Array): string {
    try {
      const admission = checkCertificate(parseCertificate(bytes), request);
      return admission.ok ? 'ok' : admission.code;
    } catch (error) {
      if (error instanceof StenoError) return error.code;
      throw error;
    }
  }

  it('is never admitted, whichever byte is flipped', () => {
    expect(outcome(blob)).toBe('ok');
    for (let i = 0; i < blob.length; i += 1) {
      for (const bit of [0x01, 0x80]) {
        const altered = Buffer.from(blob);
        altered.writeUInt8(altered.readUInt8(i) ^ bit, i);
        expect(outcome(altered), `byte ${i}`).toMatch(/^CERT_(GARBLED|UNKNOWN_CA)$/);
      }
    }
  });

  it('is garbled, wherever it is truncated or extended', () => {
    for (let length = 0; length < blob.length; length += 1) expect(outcome(blob.subarray(0, length))).toBe('CERT_GARBLED');
    expect(outcome(Buffer.concat([blob, Buffer.of(0)]))).toBe('CERT_GARBLED');
  });

  it('is not admitted with the key of a CA swapped for another', () => {
    const other = generateKey();
    const forged = issueCertificate({ publicBlob: ca.publicBlob, sign: other.sign }, fields);
    expect(outcome(forged)).toBe('CERT_UNKNOWN_CA');
    expect(outcome(issueCertificate(other, fields))).toBe('CERT_UNKNOWN_CA');
  });
});

it('a key loaded from PKCS#8 can be a CA', () => {
  const again = loadPrivateKey(ca.toPkcs8());
  expect(again.publicBlob).toEqual(ca.publicBlob);
  expect(checkCertificate(parseCertificate(issueCertificate(again, fields)), request)).toEqual({ ok: true });
});
