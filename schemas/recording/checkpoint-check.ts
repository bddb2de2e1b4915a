/**
 * Whether a checkpoint was signed by the gateway it names: the recording key's certificate was issued by the recording CA
 * for that gateway and valid at the time, and the key made the signature. `steno verify`, ingest and the page all decide it
 * here; digests and signatures are passed in, since this folder runs in Node and in browsers. Tested in
 * checkpoint-check.test.ts and test/vectors.
 */
import { StenoError } from '../base/errors.js';
import { checkCertificate } from '../ssh/admission.js';
import { decodeBase64 } from '../ssh/base64.js';
import { parseCertificate } from '../ssh/certificate.js';
import { sshsigSignedData } from '../ssh/signature.js';
import { CHECKPOINT_NAMESPACE, checkpointText } from './checkpoint.js';
import type { SignedCheckpoint } from './checkpoint.js';

export interface SignatureParts {
  readonly sha512: (message: Uint8Array) => Uint8Array;
  /** Whether the signature blob over the data was made by the plain public key. Returns false for unreadable input. */
  readonly verify: (publicBlob: Uint8Array, signatureBlob: Uint8Array, data: Uint8Array) => boolean;
  /** The same for the CA's signature on the certificate, which a caller may remember: many checkpoints come with one. Left out: `verify`. */
  readonly verifyCertificate?: SignatureParts['verify'];
}

/** The bytes that a checkpoint's signature covers. */
function checkpointSignedData(checkpoint: SignedCheckpoint, sha512: SignatureParts['sha512']): Uint8Array {
  return sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', sha512(new TextEncoder().encode(checkpointText(checkpoint))));
}

/** The fault of a checkpoint's signature, or null. `cas`: blobs of trusted recording CA keys. */
export function checkpointFault(
  checkpoint: SignedCheckpoint,
  certificateBlob: Uint8Array,
  cas: readonly Uint8Array[],
  { sha512, verify, verifyCertificate = verify }: SignatureParts,
): string | null {
  try {
    const certificate = parseCertificate(certificateBlob);
    const admitted = checkCertificate(certificate, {
      kind: 'user',
      now: Math.floor(checkpoint.time / 1000),
      trusted: cas,
      principal: checkpoint.gateway,
      verify: verifyCertificate,
    });
    if (!admitted.ok) return `the recording certificate is not acceptable: ${admitted.detail}`;
    // The authority certifies no other kind of recording key; proofs hold Ed25519 signatures only.
    if (certificate.keyType !== 'ssh-ed25519' || certificate.principals.length !== 1)
      return 'the certificate is not that of a recording key';
    const signature = decodeBase64(checkpoint.signature);
    const good = signature !== undefined && verify(certificate.publicKey, signature, checkpointSignedData(checkpoint, sha512));
    return good ? null : 'the signature does not match the checkpoint';
  } catch (error) {
    return error instanceof StenoError ? error.message : 'the recording certificate cannot be read';
  }
}
