/**
 * `verifyRecording` with what a browser has: the same code that `steno verify` runs, on @noble's digests and curves
 * instead of Node's. Ed25519 and the NIST curves, which are all that recording keys and their CA can be; another kind
 * of key is refused as one that cannot be checked here, never passed. Tested in
 * test/vectors/browser.test.ts, against Node's.
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { sha256 as sha256Of, sha512 } from '@noble/hashes/sha2.js';
import { StenoError } from '#schemas/base/errors.js';
import { checkpointFault } from '#schemas/recording/checkpoint-check.js';
import { verifyRecording } from '#schemas/recording/verify.js';
import type { Verdict } from '#schemas/recording/verify.js';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import { SshReader, concatBytes } from '#schemas/ssh/wire.js';

const curves = {
  nistp256: { curve: p256, bytes: 32 },
  nistp384: { curve: p384, bytes: 48 },
  nistp521: { curve: p521, bytes: 66 },
} as const;

export function verifySignature(publicBlob: Uint8Array, signatureBlob: Uint8Array, data: Uint8Array): boolean {
  const key = parsePublicKey(publicBlob, 'SIGNATURE_GARBLED');
  if (key.kind !== 'ed25519' && key.kind !== 'ecdsa')
    throw new StenoError('SIGNATURE_GARBLED', `keys of type ${key.type} cannot be checked in a browser`);
  try {
    const reader = new SshReader(signatureBlob, 'SIGNATURE_GARBLED');
    if (reader.utf8('the algorithm', 64) !== key.type) return false;
    const signature = reader.string('the signature', 4096);
    reader.end('the signature');
    // Strict, as OpenSSL is: what only ZIP215 takes for good is not.
    if (key.kind === 'ed25519') return ed25519.verify(signature, data, key.point, { zip215: false });
    const { curve, bytes } = curves[key.curve];
    const pair = new SshReader(signature, 'SIGNATURE_GARBLED');
    const numbers = [pair.mpint('r', bytes + 1), pair.mpint('s', bytes + 1)];
    pair.end('the signature');
    if (numbers.some((number) => number.length > bytes)) return false;
    const compact = concatBytes(...numbers.flatMap((number) => [new Uint8Array(bytes - number.length), number]));
    return curve.verify(compact, data, key.point, { lowS: false });
  } catch {
    return false;
  }
}

export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${encodeBase64(sha256Of(blob)).replace(/=+$/, '')}`;
}

export interface BrowserVerifierParts {
  /** Public key lines of the recording CAs that count. */
  readonly cas: readonly string[];
  /** Throws when the frame is damaged. */
  readonly decompress: (frame: Uint8Array) => Uint8Array;
  /** Told of lines that were unpacked and of lines that were hashed: each byte comes twice. */
  readonly onBytes: (bytes: number) => void;
}

export function verifyInBrowser(file: Uint8Array, { cas, decompress, onBytes }: BrowserVerifierParts): Verdict {
  const trusted = cas.map((line) => parseAuthorizedLine(line).blob);
  return verifyRecording(file, {
    sha256(...parts) {
      const hash = sha256Of.create();
      for (const part of parts) hash.update(part);
      onBytes(parts.at(-1)!.length);
      return hash.digest();
    },
    decompress(frame) {
      const lines = decompress(frame);
      onBytes(lines.length);
      return lines;
    },
    checkSignature: (checkpoint, certificate) => checkpointFault(checkpoint, certificate, trusted, { sha512, verify: verifySignature }),
    fingerprint,
  });
}
