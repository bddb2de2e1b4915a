import { generateKeyPairSync, sign } from 'node:crypto';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { encodePublicKey, formatPublicLine } from '#schemas/ssh/public-key.js';
import type { PublicKey } from '#schemas/ssh/public-key.js';
import { concatBytes, SshWriter } from '#schemas/ssh/wire.js';
import { fingerprint, generateKey, isUserVerified, loadPrivateKey, verify, verifyRepeated } from './keys.js';
import { makeKeyFiles, sshKeygen, temporaryFolder, writePrivate } from './openssh-oracle.js';

const folder = temporaryFolder();
afterAll(folder.remove);
const data = Buffer.from('what is signed');
const keyTypes = [
  ['ed25519', undefined],
  ['ecdsa', 256],
  ['ecdsa', 384],
  ['ecdsa', 521],
  ['rsa', 2048],
] as const;

describe.each(keyTypes)('a key of type %s %s', (type, bits) => {
  const made = makeKeyFiles(folder.path, `${type}-${bits}`, type, bits);

  it('made by ssh-keygen is loaded, and its public key and fingerprint are the same', () => {
    const key = loadPrivateKey(made.pem);
    expect(key.publicBlob).toEqual(made.blob);
    expect(sshKeygen(['-lf', `${made.path}.pub`])).toContain(` ${fingerprint(key.publicBlob)} `);
  });

  it('written by us is read by ssh-keygen', () => {
    const path = writePrivate(join(folder.path, `ours-${type}-${bits}`), loadPrivateKey(made.pem).toOpenSsh('a comment'));
    expect(sshKeygen(['-yf', path]).trim()).toBe(formatPublicLine(made.blob, 'a comment'));
    const again = loadPrivateKey(loadPrivateKey(readFileSync(path, 'utf8')).toPkcs8());
    expect(again.publicBlob).toEqual(made.blob);
  });

  it('verifies what it signed, and nothing else', () => {
    const key = loadPrivateKey(made.pem);
    const signature = key.sign(data);
    expect(verify(key.publicBlob, signature, data)).toBe(true);
    expect(verify(key.publicBlob, signature, Buffer.from('what is signee'))).toBe(false);
    expect(verify(generateKey().publicBlob, signature, data)).toBe(false);
    for (let i = 0; i < signature.length; i += 1) {
      const altered = Buffer.from(signature);
      altered.writeUInt8(altered.readUInt8(i) ^ 0x10, i);
      expect(verify(key.publicBlob, altered, data)).toBe(false);
      expect(verify(key.publicBlob, signature.subarray(0, i), data)).toBe(false);
    }
    expect(verify(key.publicBlob, Buffer.concat([signature, Buffer.of(0)]), data)).toBe(false);
  });

  it('answers false to a damaged public key', () => {
    const key = loadPrivateKey(made.pem);
    const signature = key.sign(data);
    for (let i = 0; i < key.publicBlob.length; i += 1) {
      const altered = Buffer.from(key.publicBlob);
      altered.writeUInt8(altered.readUInt8(i) ^ 0x41, i);
      expect(verify(altered, signature, data)).toBe(false);
      expect(verify(key.publicBlob.subarray(0, i), signature, data)).toBe(false);
    }
  });
});

it('a verified signature is cached for exactly these bytes', () => {
  const [key, other] = [generateKey(), generateKey()];
  const signature = key.sign(data);
  for (let again = 0; again < 2; again++) {
    expect(verifyRepeated(key.publicBlob, signature, data)).toBe(true);
    expect(verifyRepeated(other.publicBlob, signature, data)).toBe(false);
    expect(verifyRepeated(key.publicBlob, other.sign(data), data)).toBe(false);
    expect(verifyRepeated(key.publicBlob, signature, Buffer.concat([data, Buffer.of(0)]))).toBe(false);
  }
});

describe('RSA', () => {
  it('below 2048 bits is refused, on loading and on verifying', () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 1024 });
    expect(() => loadPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())).toThrow(StenoError);
    const jwk = publicKey.export({ format: 'jwk' });
    const [modulus, exponent] = [jwk.n, jwk.e].map((text) => Buffer.from(text ?? '', 'base64url')) as [Buffer, Buffer];
    const blob = encodePublicKey({ kind: 'rsa', type: 'ssh-rsa', modulus, exponent });
    const signature = new SshWriter()
      .utf8('rsa-sha2-512')
      .string(sign('sha512', data, privateKey))
      .bytes();
    expect(verify(blob, signature, data)).toBe(false);
  });

  it('with SHA-1 is refused', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = loadPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const signature = (algorithm: string, hash: string) =>
      new SshWriter()
        .utf8(algorithm)
        .string(sign(hash, data, privateKey))
        .bytes();
    expect(verify(key.publicBlob, signature('rsa-sha2-256', 'sha256'), data)).toBe(true);
    expect(verify(key.publicBlob, signature('ssh-rsa', 'sha1'), data)).toBe(false);
    expect(verify(key.publicBlob, signature('rsa-sha2-256', 'sha1'), data)).toBe(false);
  });
});

describe('a security key', () => {
  const application = 'ssh:';
  const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest();
  const ed25519 = generateKeyPairSync('ed25519');
  const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const coordinate = (name: 'x' | 'y', key: typeof ed25519.publicKey) =>
    Buffer.from(key.export({ format: 'jwk' })[name] ?? '', 'base64url');

  // This test plays the token: PROTOCOL.u2f defines the message that it signs.
  function signature(type: string, flags: number, signedFlags = flags): Uint8Array {
    const tail = new SshWriter().byte(flags).uint32(7).bytes();
    const message = concatBytes(sha256(application), new SshWriter().byte(signedFlags).uint32(7).bytes(), sha256(data));
    if (type.startsWith('sk-ssh'))
      return concatBytes(
        new SshWriter()
          .utf8(type)
          .string(sign(null, message, ed25519.privateKey))
          .bytes(),
        tail,
      );
    const pair = sign('sha256', message, { key: p256.privateKey, dsaEncoding: 'ieee-p1363' });
    const inner = new SshWriter().mpint(pair.subarray(0, 32)).mpint(pair.subarray(32)).bytes();
    return concatBytes(new SshWriter().utf8(type).string(inner).bytes(), tail);
  }

  const keys: readonly PublicKey[] = [
    { kind: 'sk-ed25519', type: 'sk-ssh-ed25519@openssh.com', point: coordinate('x', ed25519.publicKey), application },
    {
      kind: 'sk-ecdsa',
      type: 'sk-ecdsa-sha2-nistp256@openssh.com',
      application,
      point: Buffer.concat([Buffer.of(4), coordinate('x', p256.publicKey), coordinate('y', p256.publicKey)]),
    },
  ];

  it.each(keys)('of kind $kind is accepted if it was touched', (key) => {
    const blob = encodePublicKey(key);
    expect(verify(blob, signature(key.type, 1), data)).toBe(true);
    expect(verify(blob, signature(key.type, 0), data)).toBe(false);
    expect(verify(blob, signature(key.type, 5, 1), data)).toBe(false);
    expect(verify(blob, concatBytes(signature(key.type, 1), Buffer.of(0)), data)).toBe(false);
    expect(verify(encodePublicKey({ ...key, application: 'other:' } as PublicKey), signature(key.type, 1), data)).toBe(false);
    expect([1, 5].map((flags) => isUserVerified(signature(key.type, flags)))).toEqual([false, true]);
  });

  it('by another kind of key has no user verification', () => {
    expect(isUserVerified(generateKey().sign(data))).toBe(false);
    expect(isUserVerified(Buffer.alloc(0))).toBe(false);
  });
});

describe('a private key file that cannot be used', () => {
  const good = generateKey().toOpenSsh();
  const encrypted = makeKeyFiles(folder.path, 'encrypted', 'ed25519');
  sshKeygen(['-q', '-p', '-P', '', '-N', 'secret', '-f', encrypted.path]);
  const files = {
    empty: '',
    'not a key': 'hello',
    'a public key': formatPublicLine(generateKey().publicBlob),
    'encrypted by ssh-keygen': readFileSync(encrypted.path, 'utf8'),
    'cut off': good.slice(0, -60),
    'without its first line': good.split('\n').slice(1).join('\n'),
    X25519: generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };

  it.each(Object.entries(files))('%s: KEY_GARBLED', (_name, text) => {
    expect(() => loadPrivateKey(text)).toThrow(expect.objectContaining({ code: 'KEY_GARBLED' }));
  });
});
