/**
 * SSH signatures of files and messages (OpenSSH PROTOCOL.sshsig), as written by `ssh-keygen -Y sign`.
 *
 * The signer is a plain key or a certificate. Parsing checks only the form; verification needs crypto and is in
 * `runtime/ssh/sshsig.ts`. The namespace prevents the use of a signature for another purpose and must never be empty.
 *
 * Tested in `signature.test.ts` and, against ssh-keygen, in `runtime/ssh/sshsig.test.ts`.
 */
import { StenoError } from '../base/errors.js';
import { decodeBase64, encodeBase64 } from './base64.js';
import { parseCertificate, plainKeyType } from './certificate.js';
import { parsePublicKey } from './public-key.js';
import { SshReader, SshWriter, utf8Bytes } from './wire.js';

export type SshsigHash = 'sha256' | 'sha512';

export interface Sshsig {
  /** Blob of the signer: a plain key or a certificate. */
  readonly publicKey: Uint8Array;
  readonly namespace: string;
  readonly hashAlgorithm: SshsigHash;
  /** Signature blob over `sshsigSignedData`. */
  readonly signature: Uint8Array;
}

const magic = utf8Bytes('SSHSIG');
const version = 1;
const begin = '-----BEGIN SSH SIGNATURE-----';
const end = '-----END SSH SIGNATURE-----';
const lineLength = 70;
/** A certificate of 64 KiB, a signature, and base64 around them. */
const maxArmoredLength = 131_072;

/** The bytes that are signed; `digest` is the hash of the message. */
export function sshsigSignedData(namespace: string, hashAlgorithm: SshsigHash, digest: Uint8Array): Uint8Array {
  if (namespace === '') throw new StenoError('SIGNATURE_GARBLED', 'the namespace is empty');
  return new SshWriter().raw(magic).utf8(namespace).utf8('').utf8(hashAlgorithm).string(digest).bytes();
}

export function encodeSshsig({ publicKey, namespace, hashAlgorithm, signature }: Sshsig): Uint8Array {
  return new SshWriter()
    .raw(magic)
    .uint32(version)
    .string(publicKey)
    .utf8(namespace)
    .utf8('')
    .utf8(hashAlgorithm)
    .string(signature)
    .bytes();
}

/** Throws SIGNATURE_GARBLED, or CERT_GARBLED if the signer is a certificate that cannot be parsed. */
export function decodeSshsig(blob: Uint8Array): Sshsig {
  const reader = new SshReader(blob, 'SIGNATURE_GARBLED');
  if (reader.raw(magic.length, 'the magic').some((byte, i) => byte !== magic[i])) reader.fail('it does not begin with SSHSIG');
  if (reader.uint32('the version') !== version) reader.fail('it is of another version');
  const publicKey = reader.string('the public key', 65_536);
  const namespace = reader.utf8('the namespace', 256);
  if (namespace === '') reader.fail('the namespace is empty');
  reader.string('the reserved field', 1024);
  const hashAlgorithm = reader.utf8('the hash algorithm', 16);
  if (hashAlgorithm !== 'sha256' && hashAlgorithm !== 'sha512') return reader.fail('the hash algorithm is not known');
  const signature = reader.string('the signature', 8192);
  reader.end('the signature');
  if (isCertificateBlob(publicKey)) parseCertificate(publicKey);
  else parsePublicKey(publicKey, 'SIGNATURE_GARBLED');
  return { publicKey, namespace, hashAlgorithm, signature };
}

/** Whether a blob names itself a certificate; parsing may still fail. */
export function isCertificateBlob(blob: Uint8Array): boolean {
  return plainKeyType(new SshReader(blob, 'SIGNATURE_GARBLED').utf8('the key type', 64)) !== undefined;
}

/** The text form, with a final newline. */
export function armorSshsig(blob: Uint8Array): string {
  const lines = encodeBase64(blob).match(new RegExp(`.{1,${lineLength}}`, 'g')) ?? [];
  return [begin, ...lines, end, ''].join('\n');
}

/** Throws SIGNATURE_GARBLED. White space around the armour and at line ends is allowed, but no other deviation. */
export function dearmorSshsig(text: string): Uint8Array {
  if (text.length > maxArmoredLength) throw new StenoError('SIGNATURE_GARBLED', 'it is too long');
  const lines = text.trim().split(/\r?\n/);
  const isArmored = lines.length > 2 && lines[0] === begin && lines.at(-1) === end;
  const blob = isArmored ? decodeBase64(lines.slice(1, -1).join('')) : undefined;
  if (blob === undefined || blob.length === 0) throw new StenoError('SIGNATURE_GARBLED', 'it is not an armored SSH signature');
  return blob;
}
