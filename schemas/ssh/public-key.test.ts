/** Keys of every type and their certificates, at the limits of what is accepted. certificate.test.ts has further refusals. */
import { describe, expect, it } from 'vitest';
import { encodeCertificate, parseCertificate } from './certificate.js';
import type { CertificateFields } from './certificate.js';
import { encodePublicKey, formatPublicLine, parseAuthorizedLine, parsePublicKey } from './public-key.js';
import type { EcdsaCurve, PublicKey } from './public-key.js';
import { SshWriter, concatBytes } from './wire.js';

const point = (length: number, first = 4): Uint8Array => {
  const bytes = new Uint8Array(length).fill(7);
  bytes[0] = first;
  return bytes;
};
const lengths: Readonly<Record<EcdsaCurve, number>> = { nistp256: 65, nistp384: 97, nistp521: 133 };
const curves = Object.keys(lengths) as readonly EcdsaCurve[];
const ed25519: PublicKey = { kind: 'ed25519', type: 'ssh-ed25519', point: new Uint8Array(32).fill(5) };
const keys: readonly PublicKey[] = [
  ed25519,
  ...curves.map((curve): PublicKey => ({ kind: 'ecdsa', type: `ecdsa-sha2-${curve}`, curve, point: point(lengths[curve]) })),
  { kind: 'rsa', type: 'ssh-rsa', exponent: Uint8Array.of(1, 0, 1), modulus: new Uint8Array(2048).fill(0x7f) },
  { kind: 'sk-ed25519', type: 'sk-ssh-ed25519@openssh.com', point: new Uint8Array(32).fill(6), application: 'ssh:' },
  { kind: 'sk-ecdsa', type: 'sk-ecdsa-sha2-nistp256@openssh.com', point: point(65), application: 'ssh:one' },
];
const fields: CertificateFields = {
  nonce: new Uint8Array(16),
  publicKey: encodePublicKey(ed25519),
  serial: 2n ** 64n - 1n,
  kind: 'host',
  keyId: 'id',
  principals: ['a', 'b'],
  validAfter: 1n,
  validBefore: 2n ** 63n,
  criticalOptions: new Map(),
  extensions: new Map(),
  signatureKey: encodePublicKey(ed25519),
};
const signature = new SshWriter().utf8('ssh-ed25519').string(new Uint8Array(64)).bytes();
const garbled = expect.objectContaining({ code: 'KEY_GARBLED' }) as Error;
const tooMuch = expect.objectContaining({ code: 'CERT_GARBLED' }) as Error;

describe.each(keys.map((key) => [key.type, key] as const))('a key of type %s', (type, key) => {
  const blob = encodePublicKey(key);

  it('is parsed as it was encoded, alone, on a line, and certified', () => {
    expect(parsePublicKey(blob)).toEqual(key);
    expect(parseAuthorizedLine(formatPublicLine(blob, 'c'))).toEqual({ type, blob, comment: 'c' });
    const certificate = parseCertificate(encodeCertificate({ ...fields, publicKey: blob }, signature));
    expect(certificate).toMatchObject({ ...fields, publicKey: blob, keyType: type });
  });

  it('is refused, wherever it is truncated', () => {
    for (let length = 0; length < blob.length; length += 1) expect(() => parsePublicKey(blob.subarray(0, length))).toThrow(garbled);
  });
});

describe('a point', () => {
  it.each(curves)('of %s is 0x04 and two coordinates of its curve', (curve) => {
    const blob = (bytes: Uint8Array, named: string = curve): Uint8Array =>
      new SshWriter().utf8(`ecdsa-sha2-${curve}`).utf8(named).string(bytes).bytes();
    expect(parsePublicKey(blob(point(lengths[curve])))).toMatchObject({ curve });
    expect(() => parsePublicKey(blob(point(lengths[curve] - 1)))).toThrow(garbled);
    expect(() => parsePublicKey(blob(point(lengths[curve] + 1)))).toThrow(garbled);
    expect(() => parsePublicKey(blob(point(lengths[curve], 2)))).toThrow(garbled);
    for (const other of curves.filter((one) => one !== curve))
      expect(() => parsePublicKey(blob(point(lengths[curve]), other))).toThrow(garbled);
  });
});

it('an RSA modulus has at most 16384 bits', () => {
  const rsa = (bytes: Uint8Array): Uint8Array => new SshWriter().utf8('ssh-rsa').mpint(Uint8Array.of(3)).mpint(bytes).bytes();
  // The maximum, with a sign byte.
  expect(parsePublicKey(rsa(new Uint8Array(2048).fill(0xff)))).toMatchObject({ kind: 'rsa' });
  expect(() => parsePublicKey(rsa(new Uint8Array(2049).fill(0xff)))).toThrow(garbled);
});

describe('a line', () => {
  const blob = encodePublicKey(ed25519);
  const line = formatPublicLine(blob);

  it.each([` \t${line}`, line.replace(' ', ' \t '), `${line} \t\r\n`, `${line}\t `])('may have blanks around its words: %j', (text) => {
    expect(parseAuthorizedLine(text)).toEqual({ type: 'ssh-ed25519', blob, comment: '' });
  });

  it('keeps blanks inside its comment and drops those around it', () => {
    expect(parseAuthorizedLine(`${line}  \t two  words \t`).comment).toBe('two  words');
    expect(() => parseAuthorizedLine(`${line} one\0two`)).toThrow(garbled);
  });
});

describe('a certificate is bounded', () => {
  const numbered = (count: number): ReadonlyMap<string, string> =>
    new Map(Array.from({ length: count }, (_, i) => [`o${String(i).padStart(3, '0')}`, i % 2 === 0 ? '' : 'v']));

  it('to 256 options and as many principals', () => {
    const full = { ...fields, extensions: numbered(256), principals: Array.from({ length: 256 }, (_, i) => `p${i}`) };
    expect(parseCertificate(encodeCertificate(full, signature))).toMatchObject(full);
    expect(() => encodeCertificate({ ...fields, extensions: numbered(257) }, signature)).toThrow(tooMuch);
    expect(() => encodeCertificate({ ...fields, criticalOptions: numbered(257) }, signature)).toThrow(tooMuch);
    expect(() => encodeCertificate({ ...fields, principals: [...full.principals, 'p'] }, signature)).toThrow(tooMuch);
    expect(() => encodeCertificate({ ...fields, principals: [''] }, signature)).toThrow(tooMuch);
  });

  it('to 64 KiB', () => {
    const sized = (signed: number): Uint8Array => encodeCertificate(fields, concatBytes(signature, new Uint8Array(signed)));
    const room = 65_536 - sized(0).length;
    expect(parseCertificate(sized(room))).toMatchObject(fields);
    expect(() => sized(room + 1)).toThrow(tooMuch);
  });

  it('options are sorted, in whatever order they are given', () => {
    const options = new Map([
      ['c', ''],
      ['a', 'one'],
      ['b', ''],
    ]);
    const { extensions } = parseCertificate(encodeCertificate({ ...fields, extensions: options }, signature));
    expect([...extensions]).toEqual([
      ['a', 'one'],
      ['b', ''],
      ['c', ''],
    ]);
  });
});
