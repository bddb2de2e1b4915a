/**
 * SSH keys on Node's crypto: generate, load, sign, verify.
 *
 * Signing keys are Ed25519, ECDSA on the NIST curves, or RSA; verification also supports security keys (`sk-*`). RSA
 * requires at least 2048 bits and SHA-2. `verify` gets hostile input and returns false for anything malformed. Private keys
 * stay inside the returned object; only `toOpenSsh` and `toPkcs8` export them, unencrypted.
 *
 * Tested in `keys.test.ts`, with ssh-keygen as the other side.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify as verifySignature } from 'node:crypto';
import type { JsonWebKey, KeyObject } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { encodePublicKey, parsePublicKey } from '#schemas/ssh/public-key.js';
import type { EcdsaCurve, PublicKey } from '#schemas/ssh/public-key.js';
import { concatBytes, SshReader, SshWriter } from '#schemas/ssh/wire.js';
import { fipsMode } from '../fips.js';
import { encodePrivateKeyFile, parsePrivateKeyFile } from './private-key-file.js';

export interface SshSigner {
  /** Blob of the plain public key. */
  readonly publicBlob: Buffer;
  /** Signature blob (`string algorithm ‖ string signature`) over the data. */
  sign(data: Uint8Array): Buffer;
}

export interface SshPrivateKey extends SshSigner {
  /** For example `ssh-ed25519`. */
  readonly type: string;
  /** The private key file that `ssh` and `ssh-add` read, unencrypted; write it with mode 0600. */
  toOpenSsh(comment?: string): string;
  /** PKCS#8 in PEM, unencrypted. */
  toPkcs8(): string;
}

const curves: Readonly<Record<EcdsaCurve, { readonly jwk: string; readonly hash: string; readonly bytes: number }>> = {
  nistp256: { jwk: 'P-256', hash: 'sha256', bytes: 32 },
  nistp384: { jwk: 'P-384', hash: 'sha384', bytes: 48 },
  nistp521: { jwk: 'P-521', hash: 'sha512', bytes: 66 },
};
const rsaHashes: ReadonlyMap<string, string> = new Map([
  ['rsa-sha2-256', 'sha256'],
  ['rsa-sha2-512', 'sha512'],
]);
const minRsaBits = 2048;
const userPresent = 0x01;
const userVerifiedFlag = 0x04;

/** Kinds of keys that Steno generates; `rsa` has 3072 bits and takes some tenths of a second. */
export type KeyKind = 'ed25519' | 'p256' | 'rsa';

/** Ed25519 by default, ECDSA in FIPS mode or on request. */
export function generateKey(type: KeyKind = fipsMode() ? 'p256' : 'ed25519'): SshPrivateKey {
  return privateKey(createPrivateKey(generateKeyPem(type)));
}

/**
 * A new private key, PKCS#8 in PEM. Not a key object: in Node 20, exporting a freshly generated key object deadlocks on its
 * own lock if garbage collection runs meanwhile.
 */
export function generateKeyPem(type: KeyKind): string {
  const [pkcs8, spki] = [{ type: 'pkcs8', format: 'pem' } as const, { type: 'spki', format: 'pem' } as const];
  if (type === 'rsa')
    return generateKeyPairSync('rsa', { modulusLength: 3072, privateKeyEncoding: pkcs8, publicKeyEncoding: spki }).privateKey;
  if (type === 'ed25519') return generateKeyPairSync('ed25519', { privateKeyEncoding: pkcs8, publicKeyEncoding: spki }).privateKey;
  return generateKeyPairSync('ec', { namedCurve: 'P-256', privateKeyEncoding: pkcs8, publicKeyEncoding: spki }).privateKey;
}

/** Loads an OpenSSH private key file or a PKCS#8 (or SEC1, PKCS#1) PEM, unencrypted; otherwise throws KEY_GARBLED. */
export function loadPrivateKey(pem: string): SshPrivateKey {
  if (pem.includes('-----BEGIN OPENSSH PRIVATE KEY-----')) {
    return privateKey(keyObject(() => createPrivateKey({ key: parsePrivateKeyFile(pem), format: 'jwk' })));
  }
  return privateKey(keyObject(() => createPrivateKey(pem)));
}

/** `SHA256:…` as ssh-keygen prints it. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${encodeBase64(createHash('sha256').update(blob).digest()).replace(/=+$/, '')}`;
}

/** Whether the signature blob over the data was made by the plain public key. Never throws. */
export function verify(publicBlob: Uint8Array, signatureBlob: Uint8Array, data: Uint8Array): boolean {
  try {
    return verifies(parsePublicKey(publicBlob, 'SIGNATURE_GARBLED'), signatureBlob, data);
  } catch {
    return false;
  }
}

const verified = new Set<string>();
const maxVerified = 10_000;

/** Like `verify`, with a cache for signatures that are presented repeatedly, such as a CA's signature on a certificate. */
export function verifyRepeated(publicBlob: Uint8Array, signatureBlob: Uint8Array, data: Uint8Array): boolean {
  const digest = createHash('sha256');
  for (const part of [publicBlob, signatureBlob, data]) digest.update(`${part.length} `).update(part);
  const id = digest.digest('base64');
  if (verified.has(id)) return true;
  if (!verify(publicBlob, signatureBlob, data)) return false;
  if (verified.size >= maxVerified) verified.delete(verified.values().next().value!);
  verified.add(id);
  return true;
}

/** Whether a security key's signature states that the key verified its user (PIN or biometrics), beyond a touch. */
export function isUserVerified(signatureBlob: Uint8Array): boolean {
  try {
    const reader = new SshReader(signatureBlob, 'SIGNATURE_GARBLED');
    if (!reader.utf8('the algorithm', 64).startsWith('sk-')) return false;
    reader.string('the signature');
    return (reader.byte('the flags') & userVerifiedFlag) !== 0;
  } catch {
    return false;
  }
}

function keyObject(load: () => KeyObject): KeyObject {
  try {
    return load();
  } catch (cause) {
    // OpenSSL's own message may quote the key, so it is dropped.
    throw cause instanceof StenoError ? cause : new StenoError('KEY_GARBLED', 'it is encrypted or damaged');
  }
}

function privateKey(key: KeyObject): SshPrivateKey {
  const jwk = keyObject(() => createPublicKey(key)).export({ format: 'jwk' });
  const publicKey = publicKeyOf(jwk);
  return {
    type: publicKey.type,
    publicBlob: Buffer.from(encodePublicKey(publicKey)),
    sign: (data) => signWith(key, publicKey, data),
    toOpenSsh: (comment = '') => encodePrivateKeyFile(publicKey, key.export({ format: 'jwk' }), comment),
    toPkcs8: () => key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function publicKeyOf(jwk: JsonWebKey): PublicKey {
  const bytes = (text: unknown): Buffer => Buffer.from(String(text), 'base64url');
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') return { kind: 'ed25519', type: 'ssh-ed25519', point: bytes(jwk.x) };
  if (jwk.kty === 'RSA') {
    const modulus = bytes(jwk.n);
    if (bitLength(modulus) < minRsaBits) throw new StenoError('KEY_GARBLED', `an RSA key needs ${minRsaBits} bits`);
    return { kind: 'rsa', type: 'ssh-rsa', exponent: bytes(jwk.e), modulus };
  }
  for (const curve of ['nistp256', 'nistp384', 'nistp521'] as const) {
    if (jwk.kty === 'EC' && jwk.crv === curves[curve].jwk) {
      const point = Buffer.concat([Buffer.of(4), bytes(jwk.x), bytes(jwk.y)]);
      return { kind: 'ecdsa', type: `ecdsa-sha2-${curve}`, curve, point };
    }
  }
  throw new StenoError('KEY_GARBLED', 'a key of this type cannot be used with SSH');
}

function signWith(key: KeyObject, publicKey: PublicKey, data: Uint8Array): Buffer {
  const blob = (algorithm: string, signature: Uint8Array): Buffer => Buffer.from(new SshWriter().utf8(algorithm).string(signature).bytes());
  switch (publicKey.kind) {
    case 'ed25519':
      return blob(publicKey.type, sign(null, data, key));
    case 'rsa':
      return blob('rsa-sha2-512', sign('sha512', data, key));
    case 'ecdsa': {
      const { hash, bytes } = curves[publicKey.curve];
      const pair = sign(hash, data, { key, dsaEncoding: 'ieee-p1363' });
      return blob(publicKey.type, new SshWriter().mpint(pair.subarray(0, bytes)).mpint(pair.subarray(bytes)).bytes());
    }
    default:
      throw new StenoError('KEY_GARBLED', 'a security key signs outside this process');
  }
}

function verifies(key: PublicKey, signatureBlob: Uint8Array, data: Uint8Array): boolean {
  const reader = new SshReader(signatureBlob, 'SIGNATURE_GARBLED');
  const algorithm = reader.utf8('the algorithm', 64);
  const signature = reader.string('the signature', 4096);
  switch (key.kind) {
    case 'ed25519':
      reader.end('the signature');
      return algorithm === key.type && verifySignature(null, data, ed25519Key(key.point), signature);
    case 'ecdsa':
      reader.end('the signature');
      return algorithm === key.type && verifiesEcdsa(key.curve, key.point, signature, data);
    case 'rsa': {
      reader.end('the signature');
      const hash = rsaHashes.get(algorithm);
      if (hash === undefined || bitLength(key.modulus) < minRsaBits) return false;
      // Some clients drop leading zeros; OpenSSH restores them too.
      const padded = concatBytes(new Uint8Array(Math.max(0, key.modulus.length - signature.length)), signature);
      return verifySignature(hash, data, rsaKey(key.exponent, key.modulus), padded);
    }
    case 'sk-ed25519':
      return algorithm === key.type && verifySignature(null, assertion(reader, key.application, data), ed25519Key(key.point), signature);
    case 'sk-ecdsa':
      return algorithm === key.type && verifiesEcdsa('nistp256', key.point, signature, assertion(reader, key.application, data));
  }
}

/**
 * The message that a security key signs (OpenSSH PROTOCOL.u2f): SHA-256 of the application, flags, counter, SHA-256 of the
 * data. Throws unless the key was touched. The counter is covered but not compared: nothing here remembers it.
 */
function assertion(reader: SshReader, application: string, data: Uint8Array): Uint8Array {
  const flags = reader.byte('the flags');
  const counter = reader.uint32('the counter');
  reader.end('the signature');
  if ((flags & userPresent) === 0) reader.fail('nobody touched the security key');
  const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
  return concatBytes(sha256(application), new SshWriter().byte(flags).uint32(counter).bytes(), sha256(data));
}

function verifiesEcdsa(curve: EcdsaCurve, point: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean {
  const { hash, bytes, jwk } = curves[curve];
  const pair = new SshReader(signature, 'SIGNATURE_GARBLED');
  const parts = [pair.mpint('r', bytes + 1), pair.mpint('s', bytes + 1)];
  pair.end('the signature');
  if (parts.some((part) => part.length > bytes)) return false;
  const padded = concatBytes(...parts.flatMap((part) => [new Uint8Array(bytes - part.length), part]));
  const [x, y] = [point.subarray(1, 1 + bytes), point.subarray(1 + bytes)].map(base64url);
  const key = createPublicKey({ key: { kty: 'EC', crv: jwk, x: x ?? '', y: y ?? '' }, format: 'jwk' });
  return verifySignature(hash, data, { key, dsaEncoding: 'ieee-p1363' }, padded);
}

function ed25519Key(point: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: base64url(point) }, format: 'jwk' });
}

function rsaKey(exponent: Uint8Array, modulus: Uint8Array): KeyObject {
  return createPublicKey({ key: { kty: 'RSA', e: base64url(exponent), n: base64url(modulus) }, format: 'jwk' });
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');
}

function bitLength(magnitude: Uint8Array): number {
  return magnitude.length * 8 - Math.clz32(magnitude[0] ?? 0) + 24;
}
