/**
 * `verifyRecording` in a browser: the same code that `steno verify` runs, with @noble's digests and curves instead of Node's. Tested in
 * test/vectors/browser.test.ts against Node's.
 */
import { sha256 as sha256Of, sha512 } from '@noble/hashes/sha2.js';
import { checkpointFault } from '#schemas/recording/checkpoint-check.js';
import { verifyRecording } from '#schemas/recording/verify.js';
import type { Verdict, VerifierParts } from '#schemas/recording/verify.js';
import { encodeBase64 } from '#schemas/ssh/base64.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { verifySignature } from './signature.js';

export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${encodeBase64(sha256Of(blob)).replace(/=+$/, '')}`;
}

export interface BrowserVerifierParts {
  /** Public key lines of the trusted recording CAs. */
  readonly cas: readonly string[];
  /** Throws if the frame is damaged. */
  readonly decompress: (frame: Uint8Array) => Uint8Array;
  /** Called with numbers of bytes decompressed and of bytes hashed: each byte is counted twice. */
  readonly onBytes: (bytes: number) => void;
  /** For callers with a terminal; without it, keyframes are not checked. */
  readonly screens?: VerifierParts['screens'];
}

/** `cas` null: checks only whether the file is intact, whoever signed it. */
export function verifyInBrowser(
  file: Uint8Array,
  { cas, decompress, onBytes, screens }: Omit<BrowserVerifierParts, 'cas'> & { readonly cas: BrowserVerifierParts['cas'] | null },
): Verdict {
  const trusted = cas?.map((line) => parseAuthorizedLine(line).blob) ?? null;
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
    checkSignature: (checkpoint, certificate) =>
      trusted === null ? null : checkpointFault(checkpoint, certificate, trusted, { sha512, verify: verifySignature }),
    fingerprint,
    ...(screens === undefined ? {} : { screens }),
  });
}
