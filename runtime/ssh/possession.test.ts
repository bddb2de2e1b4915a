import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { afterAll, describe, expect, it } from 'vitest';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { encodePublicKey } from '#schemas/ssh/public-key.js';
import { concatBytes, SshWriter } from '#schemas/ssh/wire.js';
import { issueCertificate } from './issue.js';
import { generateKey, loadPrivateKey } from './keys.js';
import type { SshPrivateKey } from './keys.js';
import { makeKeyFiles, temporaryFolder } from './openssh-oracle.js';
import { isAlgorithmOf, offeredCertificate, provesPossession } from './possession.js';

const folder = temporaryFolder();
afterAll(folder.remove);
const blob = Buffer.from('session id and request');
const certificateOf = (publicKey: Uint8Array, options: readonly (readonly [string, string])[] = []): SshCertificate =>
  parseCertificate(
    issueCertificate(generateKey(), {
      publicKey,
      serial: 1n,
      kind: 'user',
      keyId: 'x',
      principals: ['alice'],
      validAfter: 0n,
      validBefore: 1n,
      criticalOptions: new Map(options),
      extensions: new Map(),
    }),
  );

const ed25519 = generateKey();
const rsa = loadPrivateKey(makeKeyFiles(folder.path, 'rsa', 'rsa', 2048).pem);
const cases: readonly (readonly [SshPrivateKey, string, boolean])[] = [
  [ed25519, 'ssh-ed25519-cert-v01@openssh.com', true],
  [ed25519, 'ssh-ed25519', false],
  [ed25519, 'ssh-rsa-cert-v01@openssh.com', false],
  [rsa, 'rsa-sha2-512-cert-v01@openssh.com', true],
  // The key signs with SHA-512, so this algorithm may be offered, but the signature is by another algorithm.
  [rsa, 'rsa-sha2-256-cert-v01@openssh.com', false],
  [rsa, 'ssh-rsa-cert-v01@openssh.com', false],
  [rsa, 'rsa-sha2-512', false],
];

describe('possession', () => {
  it.each(cases)('of a certificate under the algorithm %#', (key, algo, expected) => {
    expect(provesPossession(certificateOf(key.publicBlob), { key: { algo }, signature: key.sign(blob), blob })).toBe(expected);
  });

  it('needs a signature by the certified key over this session', () => {
    const certificate = certificateOf(ed25519.publicBlob);
    const proof = { key: { algo: certificate.certType }, signature: ed25519.sign(blob), blob };
    expect(provesPossession(certificate, proof)).toBe(true);
    expect(provesPossession(certificate, { ...proof, signature: generateKey().sign(blob) })).toBe(false);
    expect(provesPossession(certificate, { ...proof, blob: Buffer.from('another session') })).toBe(false);
    expect(provesPossession(certificate, { ...proof, signature: undefined })).toBe(false);
    expect(provesPossession(certificate, { ...proof, blob: undefined })).toBe(false);
    expect(provesPossession(certificate, { ...proof, signature: Buffer.alloc(0) })).toBe(false);
    expect(provesPossession(certificate, { ...proof, key: { algo: undefined as unknown as string } })).toBe(false);
  });

  it('may be offered under the algorithms of the certificate only', () => {
    expect(
      ['rsa-sha2-256-cert-v01@openssh.com', 'rsa-sha2-512-cert-v01@openssh.com', 'ssh-rsa-cert-v01@openssh.com', 'ssh-rsa'].map(
        (algorithm) => isAlgorithmOf(certificateOf(rsa.publicBlob), algorithm),
      ),
    ).toEqual([true, true, false, false]);
  });

  it('of a certificate with verify-required needs a security key that checked its user', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const type = 'sk-ssh-ed25519@openssh.com';
    const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
    const certificate = certificateOf(encodePublicKey({ kind: 'sk-ed25519', type, point, application: 'ssh:' }), [['verify-required', '']]);
    const sha256 = (content: Uint8Array | string) => createHash('sha256').update(content).digest();
    const signature = (flags: number) => {
      const state = new SshWriter().byte(flags).uint32(1).bytes();
      return concatBytes(
        new SshWriter()
          .utf8(type)
          .string(sign(null, concatBytes(sha256('ssh:'), state, sha256(blob)), privateKey))
          .bytes(),
        state,
      );
    };
    const proof = (flags: number) =>
      provesPossession(certificate, { key: { algo: certificate.certType }, signature: signature(flags), blob });
    expect([0, 1, 4, 5].map(proof)).toEqual([false, false, false, true]);
    expect(
      provesPossession(certificateOf(ed25519.publicBlob, [['verify-required', '']]), {
        key: { algo: 'ssh-ed25519-cert-v01@openssh.com' },
        signature: ed25519.sign(blob),
        blob,
      }),
    ).toBe(false);
  });
});

describe('what a client offers', () => {
  const certificate = issueCertificate(generateKey(), {
    publicKey: ed25519.publicBlob,
    serial: 1n,
    kind: 'user',
    keyId: 'offered',
    principals: ['alice'],
    validAfter: 0n,
    validBefore: 1n,
    criticalOptions: new Map(),
    extensions: new Map(),
  });
  const algo = 'ssh-ed25519-cert-v01@openssh.com';

  it('is a certificate, or is refused by name', () => {
    expect(offeredCertificate({ algo, data: certificate }).keyId).toBe('offered');
    expect(() => offeredCertificate({ algo: 'ssh-ed25519', data: ed25519.publicBlob })).toThrow(
      expect.objectContaining({ code: 'CERT_REQUIRED' }),
    );
    expect(() => offeredCertificate({ algo, data: ed25519.publicBlob })).toThrow(expect.objectContaining({ code: 'CERT_REQUIRED' }));
    for (const offer of [
      { algo, data: certificate.subarray(1) },
      { algo, data: certificate.subarray(0, -1) },
      { algo: 'ssh-ed25519', data: certificate },
      { algo },
      { data: certificate },
      {},
    ]) {
      expect(() => offeredCertificate(offer)).toThrow(expect.objectContaining({ code: 'CERT_GARBLED' }));
    }
  });
});
