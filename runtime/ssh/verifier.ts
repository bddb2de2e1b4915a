/**
 * `verifyRecording` with Node's SHA-256, zstd and SSH signatures: everything a verifier needs besides the public key of the
 * recording CA. Tested in test/vectors/vectors.test.ts.
 */
import { createHash } from 'node:crypto';
import { checkpointFault } from '#schemas/recording/checkpoint-check.js';
import type { SignatureParts } from '#schemas/recording/checkpoint-check.js';
import type { Sha256 } from '#schemas/recording/chain.js';
import { verifyRecording } from '#schemas/recording/verify.js';
import type { Verdict, VerifierParts } from '#schemas/recording/verify.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { fingerprint, verify } from './keys.js';
import { openZstd } from '../zstd.js';

export const sha256: Sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

const signatures: SignatureParts = { sha512: (message) => createHash('sha512').update(message).digest(), verify };

/**
 * `caLines`: public key lines of trusted recording CAs. `screens`: supplied by callers with a terminal emulator; keyframes
 * are unchecked without it.
 */
export function openVerifier(caLines: readonly string[], screens?: VerifierParts['screens']): Promise<(file: Uint8Array) => Verdict> {
  const cas = caLines.map((line) => parseAuthorizedLine(line).blob);
  return verifying({
    checkSignature: (checkpoint, certificate) => checkpointFault(checkpoint, certificate, cas, signatures),
    ...(screens === undefined ? {} : { screens }),
  });
}

/**
 * Whether files are complete, and consistent with their own chains and checkpoints. Signatures are not checked: a good
 * verdict is no proof.
 */
export function openCompletenessCheck(): Promise<(file: Uint8Array) => Verdict> {
  return verifying({ checkSignature: () => null });
}

async function verifying(parts: Pick<VerifierParts, 'checkSignature' | 'screens'>): Promise<(file: Uint8Array) => Verdict> {
  const zstd = await openZstd();
  return (file) => verifyRecording(file, { sha256, decompress: (frame) => zstd.decompress(frame), fingerprint, ...parts });
}
