import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { armorSshsig, dearmorSshsig } from '#schemas/ssh/signature.js';
import { issueCertificate } from './issue.js';
import { generateKey, loadPrivateKey, verify } from './keys.js';
import { makeKeyFiles, readPublicFile, sshKeygen, temporaryFolder, writePrivate } from './openssh-oracle.js';
import { signMessage, verifyMessage } from './sshsig.js';

const folder = temporaryFolder();
afterAll(folder.remove);
const file = (name: string): string => join(folder.path, name);
const message = Buffer.from('POST /v1/certificates\n');
const namespace = 'steno-request';
const keyTypes = [
  ['ed25519', undefined],
  ['ecdsa', 256],
  ['ecdsa', 384],
  ['ecdsa', 521],
  ['rsa', 2048],
] as const;

/** `ssh-keygen -Y verify` with one line of allowed signers; throws unless it accepts. */
function keygenVerifies(allowed: string, armored: string, over: Uint8Array = message): string {
  writeFileSync(file('allowed'), `${allowed}\n`);
  writeFileSync(file('sig'), armored);
  return sshKeygen(['-Y', 'verify', '-f', file('allowed'), '-I', 'alice', '-n', namespace, '-s', file('sig')], over);
}

describe.each(keyTypes)('a message signed with a key of type %s %s', (type, bits) => {
  const made = makeKeyFiles(folder.path, `${type}-${bits}`, type, bits);
  const key = loadPrivateKey(made.pem);

  it('by us is accepted by ssh-keygen', () => {
    expect(keygenVerifies(`alice ${formatPublicLine(key.publicBlob)}`, signMessage(key, message, { namespace }))).toContain('Good');
  });

  it('by us with a certificate is accepted by ssh-keygen if it knows the CA', () => {
    const ca = generateKey();
    const now = Math.floor(Date.now() / 1000);
    const certificate = issueCertificate(ca, {
      publicKey: key.publicBlob,
      serial: 1n,
      kind: 'user',
      keyId: 'alice',
      principals: ['alice'],
      validAfter: BigInt(now - 60),
      validBefore: BigInt(now + 600),
      criticalOptions: new Map(),
      extensions: new Map(),
    });
    const armored = signMessage(key, message, { namespace, certificate });
    expect(keygenVerifies(`alice cert-authority ${formatPublicLine(ca.publicBlob)}`, armored)).toContain('Good');
    expect(() => keygenVerifies(`alice cert-authority ${formatPublicLine(generateKey().publicBlob)}`, armored)).toThrow();
    const signer = verifyMessage(armored, message, namespace);
    expect(
      signer?.kind === 'certificate' &&
        checkCertificate(signer.certificate, { kind: 'user', now, trusted: [ca.publicBlob], principal: 'alice', verify }),
    ).toEqual({ ok: true });
  });

  it('by ssh-keygen is accepted by us, with both hashes', () => {
    for (const hash of ['sha256', 'sha512']) {
      const armored = sshKeygen(['-q', '-Y', 'sign', '-O', `hashalg=${hash}`, '-n', namespace, '-f', made.path], message);
      expect(verifyMessage(armored, message, namespace)).toEqual({ kind: 'key', publicKey: Uint8Array.from(made.blob) });
    }
  });
});

it('a message signed by ssh-keygen with a certificate is accepted by us', () => {
  const ca = makeKeyFiles(folder.path, 'ca', 'ed25519');
  const key = makeKeyFiles(folder.path, 'certified', 'ed25519');
  sshKeygen(['-q', '-s', ca.path, '-I', 'id', '-n', 'alice', `${key.path}.pub`]);
  // ssh-keygen signs with a certificate if it finds one in place of the public key.
  writePrivate(file('both'), key.pem);
  writeFileSync(file('both.pub'), formatPublicLine(readPublicFile(`${key.path}-cert.pub`)));
  const armored = sshKeygen(['-q', '-Y', 'sign', '-n', namespace, '-f', file('both')], message);
  const signer = verifyMessage(armored, message, namespace);
  expect(signer).toMatchObject({ kind: 'certificate', publicKey: Uint8Array.from(key.blob) });
});

describe('a signature has no signer', () => {
  const key = generateKey();
  const armored = signMessage(key, message, { namespace });

  it('over another message, or for another namespace', () => {
    expect(verifyMessage(armored, message, namespace)).toMatchObject({ kind: 'key' });
    expect(verifyMessage(armored, Buffer.from('other'), namespace)).toBeUndefined();
    expect(verifyMessage(armored, message, 'file')).toBeUndefined();
  });

  it('with any byte flipped', () => {
    const blob = dearmorSshsig(armored);
    for (let i = 0; i < blob.length; i += 1) {
      const altered = Uint8Array.from(blob, (byte, at) => (at === i ? byte ^ 0x04 : byte));
      expect(verifyMessage(armorSshsig(altered), message, namespace), `byte ${i}`).toBeUndefined();
    }
    expect(verifyMessage('hello', message, namespace)).toBeUndefined();
  });

  it('with the certificate of another key', () => {
    const ca = generateKey();
    const certificate = issueCertificate(ca, {
      publicKey: generateKey().publicBlob,
      serial: 1n,
      kind: 'user',
      keyId: 'x',
      principals: ['alice'],
      validAfter: 0n,
      validBefore: 1n << 40n,
      criticalOptions: new Map(),
      extensions: new Map(),
    });
    expect(parseCertificate(certificate).keyId).toBe('x');
    expect(verifyMessage(signMessage(key, message, { namespace, certificate }), message, namespace)).toBeUndefined();
  });
});
