/**
 * Verifies SSH signatures with @noble's curves: Ed25519 and the NIST curves, the only kinds that keys of Steno's CAs and services can
 * have. Any other kind of key is refused as not checkable here, never accepted. WebCrypto is not used, because not every browser has
 * its Ed25519, and because it refuses other points than OpenSSL does. Tested in test/vectors/browser.test.ts against Node's.
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384, p521 } from '@noble/curves/nist.js';
import { StenoError } from '#schemas/base/errors.js';
import { parsePublicKey } from '#schemas/ssh/public-key.js';
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
    // Strict, like OpenSSL: signatures that only ZIP215 accepts are refused.
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
