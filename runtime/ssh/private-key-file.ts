/**
 * The private key file of OpenSSH (OpenSSH PROTOCOL.key), unencrypted only, read and written side by side.
 *
 * The private fields are passed on as a JSON Web Key, the only form in which Node's crypto accepts raw numbers. Encrypted
 * files are refused: Steno's keys live in files of mode 0600 or encrypted by the authority itself.
 *
 * Tested in `keys.test.ts`, with ssh-keygen as the other side.
 */
import { randomBytes } from 'node:crypto';
import type { JsonWebKey } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { decodeBase64, encodeBase64 } from '#schemas/ssh/base64.js';
import { encodePublicKey, readKeyFields, writeKeyFields } from '#schemas/ssh/public-key.js';
import type { EcdsaCurve, PublicKey } from '#schemas/ssh/public-key.js';
import { equalBytes, SshReader, SshWriter } from '#schemas/ssh/wire.js';

const begin = '-----BEGIN OPENSSH PRIVATE KEY-----';
const end = '-----END OPENSSH PRIVATE KEY-----';
const magic = Buffer.from('openssh-key-v1\0');
const maxFileLength = 65_536;
/** The cipher "none" pads as a cipher with blocks of 8 would. */
const blockLength = 8;
const jwkCurves: Readonly<Record<EcdsaCurve, string>> = { nistp256: 'P-256', nistp384: 'P-384', nistp521: 'P-521' };

export function encodePrivateKeyFile(publicKey: PublicKey, privateJwk: JsonWebKey, comment: string): string {
  const check = randomBytes(4);
  const inner = new SshWriter().raw(check).raw(check).utf8(publicKey.type);
  writePrivateFields(inner, publicKey, privateJwk);
  inner.utf8(comment);
  for (let pad = 1; inner.bytes().length % blockLength !== 0; pad += 1) inner.byte(pad);
  const file = new SshWriter()
    .raw(magic)
    .utf8('none')
    .utf8('none')
    .utf8('')
    .uint32(1)
    .string(encodePublicKey(publicKey))
    .string(inner.bytes())
    .bytes();
  return [begin, ...(encodeBase64(file).match(/.{1,70}/g) ?? []), end, ''].join('\n');
}

/** Returns the private key as a JSON Web Key. Throws KEY_GARBLED, including for encrypted files. */
export function parsePrivateKeyFile(text: string): JsonWebKey {
  const lines = text.trim().split(/\r?\n/);
  const file =
    text.length <= maxFileLength && lines[0] === begin && lines.at(-1) === end ? decodeBase64(lines.slice(1, -1).join('')) : undefined;
  if (file === undefined) throw new StenoError('KEY_GARBLED', 'it is not an OpenSSH private key file');
  const reader = new SshReader(file, 'KEY_GARBLED');
  if (!equalBytes(reader.raw(magic.length, 'the magic'), magic)) reader.fail('it is not an OpenSSH private key file');
  if (reader.utf8('the cipher') !== 'none') reader.fail('it is encrypted');
  reader.string('the key derivation');
  reader.string('the options of the key derivation');
  if (reader.uint32('the number of keys') !== 1) reader.fail('it holds more than one key');
  const publicBlob = reader.string('the public key');
  const inner = reader.nested('the private key');
  reader.end('the file');
  if (inner.uint32('the check') !== inner.uint32('the check')) inner.fail('its check numbers differ');
  const { publicKey, jwk } = readPrivateFields(inner);
  if (!equalBytes(encodePublicKey(publicKey), publicBlob)) inner.fail('private and public key do not belong together');
  inner.utf8('the comment');
  const padding = inner.raw(inner.remaining, 'the padding');
  if (padding.length >= blockLength || padding.some((byte, i) => byte !== i + 1)) inner.fail('its padding is wrong');
  return jwk;
}

function writePrivateFields(writer: SshWriter, key: PublicKey, jwk: JsonWebKey): void {
  const field = (name: keyof JsonWebKey): Buffer => Buffer.from(String(jwk[name]), 'base64url');
  switch (key.kind) {
    case 'ed25519':
      writer.string(key.point).string(Buffer.concat([field('d'), key.point]));
      return;
    case 'ecdsa':
      writeKeyFields(writer, key).mpint(field('d'));
      return;
    case 'rsa':
      // Unlike in the public key, n precedes e.
      writer.mpint(key.modulus).mpint(key.exponent).mpint(field('d')).mpint(field('qi')).mpint(field('p')).mpint(field('q'));
      return;
    default:
      throw new StenoError('KEY_GARBLED', 'the private part of a security key is not in a file');
  }
}

function readPrivateFields(reader: SshReader): { readonly publicKey: PublicKey; readonly jwk: JsonWebKey } {
  const type = reader.utf8('the key type', 64);
  if (type === 'ssh-rsa') return readRsa(reader);
  const publicKey = readKeyFields(reader, type);
  if (publicKey.kind === 'ed25519') {
    const pair = reader.string('the private key', 64);
    if (pair.length !== 64 || !equalBytes(pair.subarray(32), publicKey.point)) reader.fail('private and public key do not belong together');
    return { publicKey, jwk: { kty: 'OKP', crv: 'Ed25519', x: base64url(publicKey.point), d: base64url(pair.subarray(0, 32)) } };
  }
  if (publicKey.kind === 'ecdsa') {
    const bytes = (publicKey.point.length - 1) / 2;
    const scalar = reader.mpint('the private key', bytes + 1);
    const d = Buffer.concat([Buffer.alloc(Math.max(0, bytes - scalar.length)), scalar]);
    const [x, y] = [publicKey.point.subarray(1, 1 + bytes), publicKey.point.subarray(1 + bytes)].map(base64url);
    return { publicKey, jwk: { kty: 'EC', crv: jwkCurves[publicKey.curve], x: x ?? '', y: y ?? '', d: base64url(d) } };
  }
  return reader.fail('the private part of a security key is in the security key');
}

function readRsa(reader: SshReader): { readonly publicKey: PublicKey; readonly jwk: JsonWebKey } {
  const [n, e, d, qi, p, q] = ['n', 'e', 'd', 'iqmp', 'p', 'q'].map((name) => reader.mpint(name, 2049)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  // The file omits the derivable values d mod (p-1) and d mod (q-1).
  const reduced = (prime: Uint8Array): Uint8Array => {
    const modulus = number(prime) - 1n;
    return modulus > 0n ? magnitude(number(d) % modulus) : reader.fail('a prime is one');
  };
  return {
    publicKey: { kind: 'rsa', type: 'ssh-rsa', exponent: e, modulus: n },
    jwk: {
      kty: 'RSA',
      n: base64url(n),
      e: base64url(e),
      d: base64url(d),
      p: base64url(p),
      q: base64url(q),
      dp: base64url(reduced(p)),
      dq: base64url(reduced(q)),
      qi: base64url(qi),
    },
  };
}

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function magnitude(value: bigint): Uint8Array {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
