/**
 * Plain SSH public keys (RFC 4253 section 6.6, RFC 5656, RFC 8709, OpenSSH PROTOCOL.u2f): the blob that identifies a key
 * everywhere, parsed only as far as needed to use it. DSA is deliberately not supported.
 *
 * Tested in `certificate.test.ts`.
 */
import { StenoError } from '../base/errors.js';
import type { ErrorCode } from '../base/errors.js';
import { decodeBase64, encodeBase64 } from './base64.js';
import { SshReader, SshWriter } from './wire.js';

export type EcdsaCurve = 'nistp256' | 'nistp384' | 'nistp521';

export type PublicKey =
  | { readonly kind: 'ed25519'; readonly type: string; readonly point: Uint8Array }
  | { readonly kind: 'ecdsa'; readonly type: string; readonly curve: EcdsaCurve; readonly point: Uint8Array }
  | { readonly kind: 'rsa'; readonly type: string; readonly exponent: Uint8Array; readonly modulus: Uint8Array }
  | { readonly kind: 'sk-ed25519'; readonly type: string; readonly point: Uint8Array; readonly application: string }
  | { readonly kind: 'sk-ecdsa'; readonly type: string; readonly point: Uint8Array; readonly application: string };

/** RSA keys beyond 16384 bits cost too much to verify, and no honest caller needs them; OpenSSH has the same limit. */
const maxRsaBytes = 2048 + 1;
/** Field size in bytes; a point is 0x04 followed by two coordinates. */
const curveBytes: Readonly<Record<EcdsaCurve, number>> = { nistp256: 32, nistp384: 48, nistp521: 66 };

type FieldReader = (reader: SshReader, type: string) => PublicKey;

const ecdsa =
  (curve: EcdsaCurve): FieldReader =>
  (reader, type) => ({
    kind: 'ecdsa',
    type,
    curve,
    point: readPoint(reader, curve),
  });

/** Every key type Steno accepts, with the fields that follow its name, in wire order. */
const keyTypes: ReadonlyMap<string, FieldReader> = new Map<string, FieldReader>([
  ['ssh-ed25519', (reader, type) => ({ kind: 'ed25519', type, point: readEd25519(reader) })],
  ['ecdsa-sha2-nistp256', ecdsa('nistp256')],
  ['ecdsa-sha2-nistp384', ecdsa('nistp384')],
  ['ecdsa-sha2-nistp521', ecdsa('nistp521')],
  [
    'ssh-rsa',
    (reader, type) => ({
      kind: 'rsa',
      type,
      exponent: reader.mpint('the exponent', 8),
      modulus: reader.mpint('the modulus', maxRsaBytes),
    }),
  ],
  [
    'sk-ssh-ed25519@openssh.com',
    (reader, type) => ({
      kind: 'sk-ed25519',
      type,
      point: readEd25519(reader),
      application: reader.utf8('the application', 1024),
    }),
  ],
  [
    'sk-ecdsa-sha2-nistp256@openssh.com',
    (reader, type) => ({
      kind: 'sk-ecdsa',
      type,
      point: readPoint(reader, 'nistp256'),
      application: reader.utf8('the application', 1024),
    }),
  ],
]);

function readEd25519(reader: SshReader): Uint8Array {
  const point = reader.string('the key', 32);
  return point.length === 32 ? point : reader.fail('an Ed25519 key has 32 bytes');
}

function readPoint(reader: SshReader, curve: EcdsaCurve): Uint8Array {
  if (reader.utf8('the curve', 8) !== curve) reader.fail('the curve is not that of the key type');
  const point = reader.string('the point', 133);
  return point.length === 1 + 2 * curveBytes[curve] && point[0] === 4 ? point : reader.fail('the point is not uncompressed');
}

export function isKeyType(type: string): boolean {
  return keyTypes.has(type);
}

/** Reads the fields after the type name, from a key or from the middle of a certificate. */
export function readKeyFields(reader: SshReader, type: string): PublicKey {
  const fields = keyTypes.get(type);
  return fields === undefined ? reader.fail(`the key type ${JSON.stringify(type.slice(0, 64))} is not supported`) : fields(reader, type);
}

export function writeKeyFields(writer: SshWriter, key: PublicKey): SshWriter {
  switch (key.kind) {
    case 'ed25519':
      return writer.string(key.point);
    case 'ecdsa':
      return writer.utf8(key.curve).string(key.point);
    case 'rsa':
      return writer.mpint(key.exponent).mpint(key.modulus);
    case 'sk-ed25519':
      return writer.string(key.point).utf8(key.application);
    case 'sk-ecdsa':
      return writer.utf8('nistp256').string(key.point).utf8(key.application);
  }
}

/** Throws `code` unless the blob is exactly one plain public key of a known type. */
export function parsePublicKey(blob: Uint8Array, code: ErrorCode = 'KEY_GARBLED'): PublicKey {
  const reader = new SshReader(blob, code);
  const key = readKeyFields(reader, reader.utf8('the key type', 64));
  reader.end('the key');
  return key;
}

export function encodePublicKey(key: PublicKey): Uint8Array {
  return writeKeyFields(new SshWriter().utf8(key.type), key).bytes();
}

export interface PublicLine {
  /** The first word, equal to the type inside the blob; may be a certificate type. */
  readonly type: string;
  readonly blob: Uint8Array;
  readonly comment: string;
}

/** One line of a `.pub`, `-cert.pub` or `authorized_keys` file: `type base64 comment`, without options before it. */
export function parseAuthorizedLine(line: string): PublicLine {
  const match = /^[ \t]*([!-~]{1,64})[ \t]+([A-Za-z0-9+/=]{1,90000})(?:[ \t]+([^\r\n\0]{0,1024}))?[ \t]*\r?\n?$/.exec(line);
  const [, type = '', base64 = '', comment = ''] = match ?? [];
  const blob = decodeBase64(base64);
  if (match === null || blob === undefined) throw new StenoError('KEY_GARBLED', 'not a line of the form `type base64 comment`');
  if (new SshReader(blob, 'KEY_GARBLED').utf8('the key type', 64) !== type) {
    throw new StenoError('KEY_GARBLED', 'the key type of the line differs from that of the key');
  }
  return { type, blob, comment: comment.trim() };
}

/** The line without a newline. Control characters in the comment become spaces, so it stays one line. */
export function formatPublicLine(blob: Uint8Array, comment = ''): string {
  const type = new SshReader(blob, 'KEY_GARBLED').utf8('the key type', 64);
  return `${type} ${encodeBase64(blob)} ${comment.replace(/[\u0000-\u001f\u007f]/g, ' ')}`.trimEnd();
}
