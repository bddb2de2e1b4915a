import { describe, expect, it } from 'vitest';
import { encodePublicKey } from './public-key.js';
import { armorSshsig, dearmorSshsig, decodeSshsig, encodeSshsig, sshsigSignedData } from './signature.js';
import type { Sshsig } from './signature.js';
import { concatBytes, SshWriter, utf8Bytes } from './wire.js';

const publicKey = encodePublicKey({ kind: 'ed25519', type: 'ssh-ed25519', point: new Uint8Array(32).fill(5) });
const sshsig: Sshsig = {
  publicKey,
  namespace: 'file',
  hashAlgorithm: 'sha512',
  signature: new SshWriter().utf8('ssh-ed25519').string(new Uint8Array(64)).bytes(),
};
const blob = encodeSshsig(sshsig);

describe('a signature', () => {
  it('is parsed as it was encoded, armored or not', () => {
    expect(decodeSshsig(blob)).toEqual(sshsig);
    expect(dearmorSshsig(armorSshsig(blob))).toEqual(blob);
    expect(dearmorSshsig(`\r\n${armorSshsig(blob).replaceAll('\n', '\r\n')}\n`)).toEqual(blob);
  });

  it('covers magic, namespace, reserved field, hash name and hash', () => {
    const expected = concatBytes(
      utf8Bytes('SSHSIG'),
      Uint8Array.of(0, 0, 0, 4),
      utf8Bytes('file'),
      Uint8Array.of(0, 0, 0, 0),
      Uint8Array.of(0, 0, 0, 6),
      utf8Bytes('sha256'),
      Uint8Array.of(0, 0, 0, 1, 255),
    );
    expect(sshsigSignedData('file', 'sha256', Uint8Array.of(255))).toEqual(expected);
    expect(() => sshsigSignedData('', 'sha256', Uint8Array.of(255))).toThrow(expect.objectContaining({ code: 'SIGNATURE_GARBLED' }));
  });

  it('is garbled, wherever it is truncated', () => {
    for (let length = 0; length < blob.length; length += 1) {
      expect(() => decodeSshsig(blob.subarray(0, length))).toThrow(expect.objectContaining({ code: 'SIGNATURE_GARBLED' }));
    }
  });

  const refused: Readonly<Record<string, Uint8Array>> = {
    'another magic': concatBytes(utf8Bytes('SSHSIH'), blob.subarray(6)),
    'another version': concatBytes(blob.subarray(0, 6), Uint8Array.of(0, 0, 0, 2), blob.subarray(10)),
    'no namespace': encodeSshsig({ ...sshsig, namespace: '' }),
    'an unknown hash': encodeSshsig({ ...sshsig, hashAlgorithm: 'sha1' as 'sha256' }),
    'an unknown key': encodeSshsig({ ...sshsig, publicKey: new SshWriter().utf8('ssh-dss').bytes() }),
    'bytes after its end': concatBytes(blob, Uint8Array.of(0)),
  };
  it.each(Object.entries(refused))('is refused: %s', (_name, content) => {
    expect(() => decodeSshsig(content)).toThrow(expect.objectContaining({ code: 'SIGNATURE_GARBLED' }));
  });

  it('with a certificate that cannot be parsed is refused for that', () => {
    const garbled = encodeSshsig({ ...sshsig, publicKey: new SshWriter().utf8('ssh-ed25519-cert-v01@openssh.com').bytes() });
    expect(() => decodeSshsig(garbled)).toThrow(expect.objectContaining({ code: 'CERT_GARBLED' }));
  });

  it('is accepted up to 128 KiB of text', () => {
    const most = 131_072;
    expect(dearmorSshsig(armorSshsig(blob).padEnd(most))).toEqual(blob);
    expect(() => dearmorSshsig(armorSshsig(blob).padEnd(most + 1))).toThrow(expect.objectContaining({ detail: 'it is too long' }));
  });

  it('over SHA-256 is parsed as it was encoded', () => {
    const other: Sshsig = { ...sshsig, hashAlgorithm: 'sha256' };
    expect(decodeSshsig(encodeSshsig(other))).toEqual(other);
  });

  const armored = armorSshsig(blob);
  it.each([
    '',
    'hello',
    armored.replace('BEGIN', 'BEGUN'),
    armored.replace('-----END', '----END'),
    armored.replace('AAAA', 'AA A'),
    `x${armored}`,
    'a'.repeat(200_000),
    armored.split('\n').with(0, '').join('\n'),
    armored.split('\n').with(-2, '').join('\n'),
    '-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----',
    '-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----',
  ])('is not armored: %#', (text) => {
    expect(() => dearmorSshsig(text)).toThrow(expect.objectContaining({ code: 'SIGNATURE_GARBLED' }));
  });
});
