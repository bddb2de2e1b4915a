/**
 * Who signed a checkpoint: the gateway's recording key, by a certificate of the recording CA.
 *
 * Checked when a certificate is shown and again for every checkpoint, at the time the checkpoint says; a clock far
 * from ours is refused when it is shown. Anything that cannot be read is a refusal. Tested in uplink-server.test.ts.
 */
import { createHash } from 'node:crypto';
import { StenoError } from '#schemas/errors.js';
import { CHECKPOINT_NAMESPACE, checkpointText } from '#schemas/recording/checkpoint.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { verify } from '#runtime/ssh/keys.js';

/** What is wrong, or null. `trusted`: public key lines of the recording CA. `now`: ms since 1970. */
export function certificateFault(blob: Uint8Array, gateway: string, trusted: readonly string[], now: number): string | null {
  try {
    const admission = checkCertificate(parseCertificate(blob), {
      kind: 'user',
      now: now / 1000,
      trusted: trusted.map((line) => parseAuthorizedLine(line).blob),
      principal: gateway,
      verify,
    });
    return admission.ok ? null : admission.detail;
  } catch (error) {
    if (error instanceof StenoError) return error.message;
    throw error;
  }
}

/** What is wrong with the checkpoint of `checkpoint.gateway`, or null. */
export function checkpointFault(checkpoint: SignedCheckpoint, certificate: Uint8Array, trusted: readonly string[]): string | null {
  const fault = certificateFault(certificate, checkpoint.gateway, trusted, checkpoint.time);
  if (fault !== null) return `the recording certificate: ${fault}`;
  const digest = createHash('sha512').update(checkpointText(checkpoint)).digest();
  const signed = sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', digest);
  const signature = Buffer.from(checkpoint.signature, 'base64');
  return verify(parseCertificate(certificate).publicKey, signature, signed) ? null : 'the signature does not match';
}
