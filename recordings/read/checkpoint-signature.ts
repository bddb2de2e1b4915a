/**
 * Checks who signed a checkpoint, as `steno verify` does (schemas/recording/checkpoint-check.ts), for many checkpoints of few gateways.
 *
 * The certificate is checked when it is presented, and again for every checkpoint at the time the checkpoint states; a
 * gateway whose clock is far off is refused at the first check. The CA's signature on a certificate is verified only once,
 * since a connection presents the same bytes for every checkpoint. Anything unreadable is refused. Tested in
 * checkpoint-signature.test.ts and ingest/uplink/connection.test.ts.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { StenoError } from '#schemas/base/errors.js';
import { checkpointFault as faultOf } from '#schemas/recording/checkpoint-check.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { verify } from '#runtime/ssh/keys.js';

/** The fault, or null. `trusted`: public key lines of the recording CA. `now`: ms since 1970. */
export function certificateFault(blob: Uint8Array, gateway: string, trusted: readonly string[], now: number): string | null {
  try {
    const admission = checkCertificate(parseCertificate(blob), {
      kind: 'user',
      now: now / 1000,
      trusted: blobsOf(trusted),
      principal: gateway,
      verify: verifyOnce,
    });
    return admission.ok ? null : admission.detail;
  } catch (error) {
    if (error instanceof StenoError) return error.message;
    throw error;
  }
}

const blobsOf = (lines: readonly string[]): readonly Uint8Array[] => lines.map((line) => parseAuthorizedLine(line).blob);
const sha512 = (message: Uint8Array): Uint8Array => createHash('sha512').update(message).digest();

const MAX_VERIFIED = 1_000;
/** CA signatures already verified, by the digest of key, signature and signed data, each with its length. */
const verified = new LRUCache<string, true>({ max: MAX_VERIFIED });

function verifyOnce(key: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean {
  const digest = createHash('sha256');
  for (const part of [key, signature, data]) digest.update(`${part.length} `).update(part);
  const id = digest.digest('hex');
  if (verified.get(id) === true) return true;
  const matches = verify(key, signature, data);
  if (matches) verified.set(id, true);
  return matches;
}

/** The fault of a checkpoint of `checkpoint.gateway`, or null. */
export function checkpointFault(checkpoint: SignedCheckpoint, certificate: Uint8Array, trusted: readonly string[]): string | null {
  return faultOf(checkpoint, certificate, blobsOf(trusted), { sha512, verify, verifyCertificate: verifyOnce });
}
