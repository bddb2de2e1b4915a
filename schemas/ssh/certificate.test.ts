import { describe, expect, it } from 'vitest';
import { certificateType, encodeCertificate, encodeUnsigned, parseCertificate, plainKeyType } from './certificate.js';
import type { CertificateFields } from './certificate.js';
import { encodePublicKey, formatPublicLine, parseAuthorizedLine, parsePublicKey } from './public-key.js';
import { concatBytes, SshWriter } from './wire.js';

const ed25519 = encodePublicKey({ kind: 'ed25519', type: 'ssh-ed25519', point: new Uint8Array(32).fill(5) });
const fields: CertificateFields = {
  nonce: new Uint8Array(32).fill(1),
  publicKey: ed25519,
  serial: 3n,
  kind: 'user',
  keyId: 'id',
  principals: ['alice'],
  validAfter: 1n,
  validBefore: 2n,
  criticalOptions: new Map([
    ['source-address', '::1'],
    ['force-command', 'ls'],
  ]),
  extensions: new Map([['permit-pty', '']]),
  signatureKey: ed25519,
};
const signature = new SshWriter().utf8('ssh-ed25519').string(new Uint8Array(64)).bytes();
const garbled = (detail: RegExp) =>
  expect.objectContaining({ code: 'CERT_GARBLED', detail: expect.stringMatching(detail) as string }) as Error;

/** A certificate whose parts may be replaced, also by malformed ones. */
interface Parts {
  readonly type?: string;
  readonly kind?: number;
  readonly principals?: Uint8Array;
  readonly options?: Uint8Array;
  readonly signatureKey?: Uint8Array;
  readonly tail?: Uint8Array;
}
function assemble({
  type = 'ssh-ed25519-cert-v01@openssh.com',
  kind = 1,
  principals = new Uint8Array(0),
  options = new Uint8Array(0),
  signatureKey = ed25519,
  tail = new Uint8Array(0),
}: Parts): Uint8Array {
  return new SshWriter()
    .utf8(type)
    .string(new Uint8Array(16))
    .string(new Uint8Array(32))
    .uint64(0n)
    .uint32(kind)
    .utf8('id')
    .string(principals)
    .uint64(0n)
    .uint64(9n)
    .string(options)
    .string(new Uint8Array(0))
    .string(new Uint8Array(0))
    .string(signatureKey)
    .string(signature)
    .raw(tail)
    .bytes();
}
const option = (name: string, data: Uint8Array = new Uint8Array(0)): Uint8Array => new SshWriter().utf8(name).string(data).bytes();

describe('a certificate', () => {
  it('is parsed as it was encoded, with its options in order', () => {
    const certificate = parseCertificate(encodeCertificate(fields, signature));
    expect(certificate).toMatchObject({ certType: 'ssh-ed25519-cert-v01@openssh.com', keyType: 'ssh-ed25519', ...fields });
    expect([...certificate.criticalOptions.keys()]).toEqual(['force-command', 'source-address']);
    expect(certificate.signed).toEqual(encodeUnsigned(fields));
    expect(certificate.signature).toEqual(signature);
  });

  it('with no options and no principals is well-formed', () => {
    expect(parseCertificate(assemble({}))).toMatchObject({ principals: [], kind: 'user', criticalOptions: new Map() });
  });

  const refused: readonly (readonly [string, Parts, RegExp])[] = [
    ['a plain key', { type: 'ssh-ed25519' }, /not a certificate/],
    ['an unknown type', { type: 'ssh-ed448-cert-v01@openssh.com' }, /not a certificate/],
    ['a DSA certificate', { type: 'ssh-dss-cert-v01@openssh.com' }, /not a certificate/],
    ['the old format', { type: 'ssh-rsa-cert-v00@openssh.com' }, /not a certificate/],
    ['kind 0', { kind: 0 }, /neither/],
    ['kind 3', { kind: 3 }, /neither/],
    ['an empty principal', { principals: new SshWriter().utf8('').bytes() }, /empty/],
    ['a principal with NUL', { principals: new SshWriter().utf8('root\0x').bytes() }, /NUL/],
    [
      '257 principals',
      { principals: concatBytes(...Array.from({ length: 257 }, () => new SshWriter().utf8('p').bytes())) },
      /more than 256/,
    ],
    ['truncated principals', { principals: Uint8Array.of(0, 0, 0, 9) }, /ends inside/],
    ['options out of order', { options: concatBytes(option('b'), option('a')) }, /not sorted/],
    ['a repeated option', { options: concatBytes(option('a'), option('a')) }, /is repeated/],
    ['an option without a name', { options: option('') }, /not printable/],
    ['an option name with a space', { options: option('a b') }, /not printable/],
    ['an option with bare data', { options: option('a', Uint8Array.of(1)) }, /ends inside/],
    [
      'an option with more than its value',
      { options: option('a', concatBytes(new SshWriter().utf8('v').bytes(), Uint8Array.of(0))) },
      /follow the end/,
    ],
    ['a certificate as CA', { signatureKey: encodeCertificate(fields, signature) }, /not supported/],
    ['a DSA key as CA', { signatureKey: new SshWriter().utf8('ssh-dss').bytes() }, /not supported/],
    ['no key as CA', { signatureKey: new Uint8Array(0) }, /ends inside/],
    ['bytes after its end', { tail: Uint8Array.of(0) }, /follow the end/],
    ['more than 64 KiB', { tail: new Uint8Array(65_536) }, /longer than/],
  ];
  it.each(refused)('is refused: %s', (_name, parts, detail) => {
    expect(() => parseCertificate(assemble(parts))).toThrow(garbled(detail));
  });
});

describe('types of keys and their certificates', () => {
  it.each([
    ['ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com'],
    ['ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp384-cert-v01@openssh.com'],
    ['ssh-rsa', 'ssh-rsa-cert-v01@openssh.com'],
    ['sk-ssh-ed25519@openssh.com', 'sk-ssh-ed25519-cert-v01@openssh.com'],
    ['sk-ecdsa-sha2-nistp256@openssh.com', 'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com'],
  ])('%s and %s', (plain, certified) => {
    expect(certificateType(plain)).toBe(certified);
    expect(plainKeyType(certified)).toBe(plain);
    expect(plainKeyType(plain)).toBeUndefined();
  });
});

describe('a public key', () => {
  it.each([
    ['an Ed25519 key of 31 bytes', new SshWriter().utf8('ssh-ed25519').string(new Uint8Array(31)).bytes()],
    [
      'an ECDSA key that names another curve',
      new SshWriter().utf8('ecdsa-sha2-nistp256').utf8('nistp384').string(Uint8Array.of(4)).bytes(),
    ],
    ['a compressed point', new SshWriter().utf8('ecdsa-sha2-nistp256').utf8('nistp256').string(new Uint8Array(33).fill(2)).bytes()],
    ['an RSA key of 20000 bits', new SshWriter().utf8('ssh-rsa').mpint(Uint8Array.of(3)).mpint(new Uint8Array(2500).fill(1)).bytes()],
    ['bytes after the key', concatBytes(ed25519, Uint8Array.of(0))],
    ['an unknown type', new SshWriter().utf8('ssh-dss').bytes()],
  ])('is refused: %s', (_name, blob) => {
    expect(() => parsePublicKey(blob)).toThrow(expect.objectContaining({ code: 'KEY_GARBLED' }));
  });

  it('on a line is parsed as it was formatted, with its comment', () => {
    const line = formatPublicLine(ed25519, 'alice on laptop');
    expect(parseAuthorizedLine(`${line}\n`)).toEqual({ type: 'ssh-ed25519', blob: ed25519, comment: 'alice on laptop' });
    expect(parseAuthorizedLine(formatPublicLine(ed25519)).comment).toBe('');
    expect(formatPublicLine(ed25519, 'two\nlines')).not.toContain('\n');
  });

  const line = formatPublicLine(ed25519);
  it.each([
    '',
    'ssh-ed25519',
    'ssh-ed25519 AAAA',
    line.replace('ssh-ed25519', 'ssh-rsa'),
    `command="x" ${line}`,
    `${line}=`,
    `${line}\n${line}`,
  ])('on a line is refused: %j', (text) => {
    expect(() => parseAuthorizedLine(text)).toThrow(expect.objectContaining({ code: 'KEY_GARBLED' }));
  });
});
