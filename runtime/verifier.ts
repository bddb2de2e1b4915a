/**
 * `verifyRecording` with Node's SHA-256, zstd and SSH signatures: all that a verifier needs beside the public key of
 * the recording CA. Tested in test/vectors/vectors.test.ts.
 */
import { createHash } from 'node:crypto';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { CHECKPOINT_NAMESPACE, checkpointText } from '#schemas/recording/checkpoint.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import type { Sha256 } from '#schemas/recording/chain.js';
import { verifyRecording } from '#schemas/recording/verify.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { StenoError } from '#schemas/errors.js';
import { fingerprint, verify } from './ssh/keys.js';
import { openZstd } from './zstd.js';

export const sha256: Sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** The bytes that a checkpoint's signature covers. */
export function checkpointSignedData(checkpoint: SignedCheckpoint): Uint8Array {
  const digest = createHash('sha512').update(checkpointText(checkpoint)).digest();
  return sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', digest);
}

/** What is wrong with a checkpoint's signature, or null. `cas`: blobs of trusted recording CA keys. */
export function checkCheckpointSignature(checkpoint: SignedCheckpoint, certificateBlob: Uint8Array, cas: readonly Uint8Array[]): string | null {
  try {
    const certificate = parseCertificate(certificateBlob);
    const admitted = checkCertificate(certificate, {
      kind: 'user', now: Math.floor(checkpoint.time / 1000), trusted: cas, principal: checkpoint.gateway, verify,
    });
    if (!admitted.ok) return `the recording certificate is not acceptable: ${admitted.detail}`;
    const good = verify(certificate.publicKey, Buffer.from(checkpoint.signature, 'base64'), checkpointSignedData(checkpoint));
    return good ? null : 'the signature does not match the checkpoint';
  } catch (error) {
    return error instanceof StenoError ? error.message : 'the recording certificate cannot be read';
  }
}

/** `caLines`: public key lines of trusted recording CAs. */
export async function openVerifier(caLines: readonly string[]): Promise<(file: Uint8Array) => Verdict> {
  const zstd = await openZstd();
  const cas = caLines.map((line) => parseAuthorizedLine(line).blob);
  return (file) =>
    verifyRecording(file, {
      sha256,
      decompress: (frame) => zstd.decompress(frame),
      checkSignature: (checkpoint, certificate) => checkCheckpointSignature(checkpoint, certificate, cas),
      fingerprint,
    });
}
