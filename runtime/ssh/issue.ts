/**
 * Issues OpenSSH certificates. The authority decides the contents; a fresh nonce is generated here each time.
 *
 * Tested in `issue.test.ts`: `ssh-keygen -L` reads the issued certificates, and certificates made by `ssh-keygen -s` for
 * every key type pass `checkCertificate`.
 */
import { randomBytes } from 'node:crypto';
import { encodeCertificate, encodeUnsigned } from '#schemas/ssh/certificate.js';
import type { CertificateFields } from '#schemas/ssh/certificate.js';
import type { SshSigner } from './keys.js';

export type IssueFields = Omit<CertificateFields, 'nonce' | 'signatureKey'>;

const nonceBytes = 32;

/** Returns the certificate's blob. Throws CERT_GARBLED for fields that could not be parsed back. */
export function issueCertificate(ca: SshSigner, fields: IssueFields): Buffer {
  const whole: CertificateFields = { ...fields, nonce: randomBytes(nonceBytes), signatureKey: ca.publicBlob };
  return Buffer.from(encodeCertificate(whole, ca.sign(encodeUnsigned(whole))));
}
