/**
 * Proof that an SSH client holds the key its user certificate certifies (RFC 4252 section 7, PROTOCOL.certkeys).
 *
 * ssh2 hands over the algorithm the client named, the signature, and the data it must cover; for certificates it
 * leaves the signature whole. This module is the only place that compares them.
 *
 * Tested in `possession.test.ts` and, with real clients, in `certified-key.test.ts`.
 */
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { SshReader } from '#schemas/ssh/wire.js';
import { isUserVerified, verify } from './keys.js';

/** As in ssh2's PublicKeyAuthContext once a signature is there; any field may come from a hostile client. */
export interface PossessionProof {
  readonly key: { readonly algo: string };
  readonly signature?: Uint8Array | undefined;
  readonly blob?: Uint8Array | undefined;
}

/** RSA names the hash in the algorithm, not in the type of the key. */
const rsaAlgorithms: ReadonlyMap<string, string> = new Map([
  ['rsa-sha2-256-cert-v01@openssh.com', 'rsa-sha2-256'],
  ['rsa-sha2-512-cert-v01@openssh.com', 'rsa-sha2-512'],
]);

/** Whether a client may offer the certificate under this algorithm name; ask before answering a probe. */
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
  // `ssh-rsa-cert-v01@openssh.com` as algorithm means SHA-1, which nobody may use any more.
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
