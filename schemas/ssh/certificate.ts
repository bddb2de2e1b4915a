/**
 * OpenSSH certificates (OpenSSH PROTOCOL.certkeys), read and written side by side, in wire order.
 *
 * Parsing checks only that the bytes are one well-formed certificate; `admission.ts` decides who may use it. It is
 * stricter than OpenSSH, since Steno reads only certificates of a Steno CA or ssh-keygen: options are sorted and unique,
 * texts are UTF-8 without NUL, numbers are in shortest form, and nothing follows the signature.
 *
 * Tested in `certificate.test.ts` and, against ssh-keygen, in `runtime/ssh/issue.test.ts`.
 */
import { StenoError } from '../base/errors.js';
import { encodePublicKey, isKeyType, parsePublicKey, readKeyFields, writeKeyFields } from './public-key.js';
import { SshReader, SshWriter } from './wire.js';

export type CertificateKind = 'user' | 'host';

export interface CertificateFields {
  /** At least 16 random bytes, so that the CA never signs content chosen completely by a requester. */
  readonly nonce: Uint8Array;
  /** Blob of the certified plain key. */
  readonly publicKey: Uint8Array;
  readonly serial: bigint;
  readonly kind: CertificateKind;
  readonly keyId: string;
  readonly principals: readonly string[];
  /** The first valid Unix second. */
  readonly validAfter: bigint;
  /** The first invalid Unix second. */
  readonly validBefore: bigint;
  /** Names with their values; '' for a flag. */
  readonly criticalOptions: ReadonlyMap<string, string>;
  readonly extensions: ReadonlyMap<string, string>;
  /** Blob of the CA's plain key. */
  readonly signatureKey: Uint8Array;
}

export interface SshCertificate extends CertificateFields {
  /** For example `ssh-ed25519-cert-v01@openssh.com`. */
  readonly certType: string;
  /** Type of the certified plain key, for example `ssh-ed25519`. */
  readonly keyType: string;
  readonly signature: Uint8Array;
  /** The signed bytes: everything before the signature. */
  readonly signed: Uint8Array;
}

const maxCertificateBytes = 65_536;
const maxPrincipals = 256;
const maxOptions = 256;
const kinds: ReadonlyMap<number, CertificateKind> = new Map([
  [1, 'user'],
  [2, 'host'],
]);
const kindNumber = { user: 1, host: 2 } as const satisfies Record<CertificateKind, number>;
const suffix = '-cert-v01@openssh.com';

/** `ssh-ed25519-cert-v01@openssh.com` is `ssh-ed25519`; `sk-…-cert-v01@openssh.com` is `sk-…@openssh.com`. */
export function plainKeyType(certType: string): string | undefined {
  if (!certType.endsWith(suffix)) return undefined;
  const base = certType.slice(0, -suffix.length);
  const plain = base.startsWith('sk-') ? `${base}@openssh.com` : base;
  return isKeyType(plain) ? plain : undefined;
}

export function certificateType(keyType: string): string {
  return `${keyType.replace(/@openssh\.com$/, '')}${suffix}`;
}

/** Throws CERT_GARBLED unless the blob is exactly one well-formed certificate. Returned bytes are views of it. */
export function parseCertificate(blob: Uint8Array): SshCertificate {
  if (blob.length > maxCertificateBytes) throw new StenoError('CERT_GARBLED', `it is longer than ${maxCertificateBytes} bytes`);
  const reader = new SshReader(blob, 'CERT_GARBLED');
  const certType = reader.utf8('the certificate type', 64);
  const keyType = plainKeyType(certType);
  if (keyType === undefined) return reader.fail('it is not a certificate of a supported type');
  const nonce = reader.string('the nonce', 256);
  const publicKey = encodePublicKey(readKeyFields(reader, keyType));
  const serial = reader.uint64('the serial');
  const kind = kinds.get(reader.uint32('the kind'));
  if (kind === undefined) return reader.fail('it is neither of user nor of host kind');
  const keyId = reader.utf8('the key id', 8192);
  const principals = readPrincipals(reader);
  const validAfter = reader.uint64('the start of validity');
  const validBefore = reader.uint64('the end of validity');
  const criticalOptions = readOptions(reader, 'the critical options');
  const extensions = readOptions(reader, 'the extensions');
  reader.string('the reserved field');
  const signatureKey = reader.string('the CA key');
  const signed = blob.subarray(0, reader.offset);
  const signature = reader.string('the signature');
  reader.end('the certificate');
  // A chain of certificates would let anyone with a certificate issue more; a CA is a plain key.
  parsePublicKey(signatureKey, 'CERT_GARBLED');
  return {
    certType,
    keyType,
    nonce,
    publicKey,
    serial,
    kind,
    keyId,
    principals,
    validAfter,
    validBefore,
    criticalOptions,
    extensions,
    signatureKey,
    signature,
    signed,
  };
}

/** The bytes a CA signs. Options are sorted here; limits are those of parsing. */
export function encodeUnsigned(fields: CertificateFields): Uint8Array {
  const key = parsePublicKey(fields.publicKey, 'CERT_GARBLED');
  const writer = new SshWriter().utf8(certificateType(key.type)).string(fields.nonce);
  return writeKeyFields(writer, key)
    .uint64(fields.serial)
    .uint32(kindNumber[fields.kind])
    .utf8(fields.keyId)
    .string(encodePrincipals(fields.principals))
    .uint64(fields.validAfter)
    .uint64(fields.validBefore)
    .string(encodeOptions(fields.criticalOptions))
    .string(encodeOptions(fields.extensions))
    .string(new Uint8Array(0))
    .string(fields.signatureKey)
    .bytes();
}

/** Throws CERT_GARBLED for fields that `parseCertificate` would refuse, so that issued certificates can always be parsed. */
export function encodeCertificate(fields: CertificateFields, signature: Uint8Array): Uint8Array {
  const blob = new SshWriter().raw(encodeUnsigned(fields)).string(signature).bytes();
  parseCertificate(blob);
  return blob;
}

function readPrincipals(reader: SshReader): readonly string[] {
  const list = reader.nested('the principals');
  const principals: string[] = [];
  while (list.remaining > 0) {
    if (principals.length === maxPrincipals) list.fail(`it names more than ${maxPrincipals} principals`);
    const principal = list.utf8('a principal', 1024);
    if (principal === '') list.fail('a principal is empty');
    principals.push(principal);
  }
  return principals;
}

function encodePrincipals(principals: readonly string[]): Uint8Array {
  return principals.reduce((writer, principal) => writer.utf8(principal), new SshWriter()).bytes();
}

/** Name and data, sorted by name, each once. Data is empty for a flag, or one `string` inside the `string`. */
function readOptions(reader: SshReader, what: string): ReadonlyMap<string, string> {
  const list = reader.nested(what);
  const options = new Map<string, string>();
  let last = '';
  while (list.remaining > 0) {
    if (options.size === maxOptions) list.fail(`${what} are more than ${maxOptions}`);
    const name = list.utf8('the name of an option', 256);
    if (!/^[!-~]+$/.test(name)) list.fail('the name of an option is not printable');
    if (name <= last) list.fail(`${what} are not sorted, or one is repeated`);
    last = name;
    const data = list.nested(`the option ${name}`);
    options.set(name, data.remaining === 0 ? '' : data.utf8(`the option ${name}`));
    data.end(`the option ${name}`);
  }
  return options;
}

function encodeOptions(options: ReadonlyMap<string, string>): Uint8Array {
  const writer = new SshWriter();
  // Option names are ASCII, so code units sort as bytes do.
  for (const [name, value] of [...options].sort(([a], [b]) => (a < b ? -1 : 1))) {
    writer.utf8(name).string(value === '' ? new Uint8Array(0) : new SshWriter().utf8(value).bytes());
  }
  return writer.bytes();
}
