/**
 * Issuing OpenSSH certificates. What goes in is the authority's decision; the nonce is made here, fresh each time.
 *
 * Tested in `issue.test.ts`: `ssh-keygen -L` reads what is issued, and certificates that `ssh-keygen -s` made of
 * every key type pass `checkCertificate`.
 */
import { randomBytes } from 'node:crypto';
import { encodeCertificate, encodeUnsigned } from '#schemas/ssh/certificate.js';
import type { CertificateFields } from '#schemas/ssh/certificate.js';
import type { SshSigner } from './keys.js';

export type IssueFields = Omit<CertificateFields, 'nonce' | 'signatureKey'>;

const nonceBytes = 32;

/** The certificate's blob. Throws CERT_GARBLED for fields that could not be read back. */
export function issueCertificate(ca: SshSigner, fields: IssueFields): Buffer {
  const whole: CertificateFields = { ...fields, nonce: randomBytes(nonceBytes), signatureKey: ca.publicBlob };
  return Buffer.from(encodeCertificate(whole, ca.sign(encodeUnsigned(whole))));
}
