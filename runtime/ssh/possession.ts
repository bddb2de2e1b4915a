/**
 * Checks that an SSH client holds the key certified by its user certificate (RFC 4252 section 7, PROTOCOL.certkeys).
 *
 * ssh2 provides the algorithm named by the client, the signature, and the data it must cover; for certificates it leaves the
 * signature unparsed. This module is the only place that compares them.
 *
 * Tested in `possession.test.ts` and, with real clients, in `certified-key.test.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';
import { parseCertificate, plainKeyType } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { SshReader } from '#schemas/ssh/wire.js';
import { isUserVerified, verify } from './keys.js';

/** As in ssh2's PublicKeyAuthContext once there is a signature; any field may come from a hostile client. */
export interface PossessionProof {
  readonly key: { readonly algo: string };
  readonly signature?: Uint8Array | undefined;
  readonly blob?: Uint8Array | undefined;
}

/** For RSA the algorithm names the hash, the key type does not. */
const rsaAlgorithms: ReadonlyMap<string, string> = new Map([
  ['rsa-sha2-256-cert-v01@openssh.com', 'rsa-sha2-256'],
  ['rsa-sha2-512-cert-v01@openssh.com', 'rsa-sha2-512'],
]);

/** As in ssh2's PublicKeyAuthContext; a truncated request leaves either field out, despite ssh2's typings. */
export interface OfferedKey {
  readonly algo?: string | undefined;
  readonly data?: Uint8Array | undefined;
}

/**
 * Parses the certificate that a client offers, with or without a signature. Throws CERT_REQUIRED for a bare key, and
 * CERT_GARBLED for anything that is not a certificate or does not match the named algorithm.
 */
export function offeredCertificate({ algo, data }: OfferedKey): SshCertificate {
  if (algo === undefined || data === undefined) throw new StenoError('CERT_GARBLED', 'the request is truncated inside the key');
  const type = new SshReader(data, 'CERT_GARBLED').utf8('the key type', 64);
  if (plainKeyType(type) === undefined) throw new StenoError('CERT_REQUIRED', `the client offered a key of type ${JSON.stringify(type)}`);
  const certificate = parseCertificate(data);
  if (!isAlgorithmOf(certificate, algo)) throw new StenoError('CERT_GARBLED', 'it is offered under an algorithm that does not match');
  return certificate;
}

/** Whether a client may offer the certificate under this algorithm name. */
export function isAlgorithmOf(certificate: SshCertificate, algorithm: string): boolean {
  return signatureAlgorithm(certificate, algorithm) !== undefined;
}

/** Never throws. A certificate with `verify-required` also needs the security key to have checked its user. */
export function provesPossession(certificate: SshCertificate, { key, signature, blob }: PossessionProof): boolean {
  const algorithm = signatureAlgorithm(certificate, key.algo);
  if (algorithm === undefined || signature === undefined || blob === undefined) return false;
  if (algorithmOf(signature) !== algorithm || !verify(certificate.publicKey, signature, blob)) return false;
  return !certificate.criticalOptions.has('verify-required') || isUserVerified(signature);
}

function signatureAlgorithm({ certType, keyType }: SshCertificate, algorithm: string): string | undefined {
  // `ssh-rsa-cert-v01@openssh.com` as algorithm means SHA-1, which is no longer accepted.
  if (keyType === 'ssh-rsa') return rsaAlgorithms.get(algorithm);
  return algorithm === certType ? keyType : undefined;
}

function algorithmOf(signature: Uint8Array): string | undefined {
  try {
    return new SshReader(signature, 'SIGNATURE_GARBLED').utf8('the algorithm', 64);
  } catch {
    return undefined;
  }
}
