/** Host keys as people have them, and the certificates beside them. Tested in host-keys.test.ts. */
import { readFileSync } from 'node:fs';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';

/** Lines of a .pub file (`type base64 comment`) or of ssh-keyscan (`host type base64`), as `type base64`. */
export function readHostKeys(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((line) => {
      const match = /(?:^|\s)((?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+)\s+([A-Za-z0-9+/]+={0,2})/.exec(line);
      return match === null ? [] : [`${match[1]} ${match[2]}`];
    });
}

/**
 * Whether the file holds a certificate that need not be made anew: for this key and node, more than a third of its life
 * left, by the only key of the CA that is trusted. While that is rotated, the next certificate may be of the new key.
 */
export function isFresh(file: string, line: string, node: string, cas: readonly string[], now: number): boolean {
  try {
    const certificate = parseCertificate(parseAuthorizedLine(readFileSync(file, 'utf8').trim()).blob);
    const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(b);
    const left = Number(certificate.validBefore) - now / 1000;
    return (
      same(certificate.publicKey, parseAuthorizedLine(line).blob) &&
      certificate.principals.includes(node) &&
      cas.length === 1 &&
      same(certificate.signatureKey, parseAuthorizedLine(cas[0]!).blob) &&
      left > Number(certificate.validBefore - certificate.validAfter) / 3
    );
  } catch {
    return false;
  }
}
