/**
 * Certificates for both sides of ssh2, which has no notion of them.
 *
 * ssh2 asks a key object for its `type`, for `getPublicSSH()` and for `sign()`; answered with the certificate's type
 * and blob, it presents the certificate. A few places in ssh2 must know that a certified key *signs* as the plain
 * key: `patches/ssh2+1.17.0.patch`. A key object asks for its certificate once for each connection, so a renewed host
 * certificate needs no new server.
 *
 * Tested in `certified-key.test.ts` against stock `ssh` and `sshd`.
 */
import ssh2 from 'ssh2';
import type { AuthHandlerMiddleware, EncryptedPrivateKey, HostVerifier, ParsedKey, ServerHostKeyAlgorithm } from 'ssh2';
import { StenoError } from '#schemas/base/errors.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { certificateType, parseCertificate, plainKeyType } from '#schemas/ssh/certificate.js';
import { equalBytes, SshReader } from '#schemas/ssh/wire.js';
import { fingerprint, verifyRepeated } from './keys.js';
import type { SshPrivateKey } from './keys.js';

export type CertificateSource = () => Uint8Array;

/** What to offer as `algorithms.serverHostKey` to a host that may present a certificate; certificates first. */
export const hostKeyAlgorithms = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'ecdsa-sha2-nistp384-cert-v01@openssh.com',
  'ecdsa-sha2-nistp521-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
  'rsa-sha2-256-cert-v01@openssh.com',
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
  // The typings list only what ssh2 knows without the patch.
] as unknown as ServerHostKeyAlgorithm[];

/** A key object that ssh2 takes for one of its own and that shows the certificate in place of the plain key. */
export function certifiedKey(key: SshPrivateKey, certificate: CertificateSource): ParsedKey {
  const plain = parsedKey(key);
  // For RSA the algorithm names the hash that `sign` uses; the blob says `ssh-rsa-cert-v01@openssh.com` all the same.
  const type = certificateType(key.type === 'ssh-rsa' ? 'rsa-sha2-512' : key.type);
  // OpenSSH's client ends a connection whose host certificate differs at a later key exchange, renewed or not.
  const shown = new WeakMap<object, Buffer>();
  const shownTo = (connection: object): Buffer => {
    const blob = shown.get(connection) ?? Buffer.from(certificate());
    shown.set(connection, blob);
    return blob;
  };
  return Object.create(plain, {
    type: { value: type },
    // The patched key exchange names the connection; elsewhere ssh2 asks without.
    getPublicSSH: { value: (connection?: object) => (connection === undefined ? Buffer.from(certificate()) : shownTo(connection)) },
    // ssh2 converts no signature of a type it does not know, so the value is in the form of the wire already.
    sign: { value: (data: Uint8Array) => signatureValue(key.sign(data)) },
  }) as ParsedKey;
}

/** Names under which a host key signs: RSA has one for each hash. */
export function hostKeyNames(key: SshPrivateKey): readonly string[] {
  return key.type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [key.type];
}

/** The plain key as ssh2's protocol wants it: it says itself which hash an RSA key signs with. */
export function plainHostKey(key: SshPrivateKey): ParsedKey {
  return parsedKey(key);
}

/** The same showing this certificate; `name` is one of `hostKeyNames`. */
export function certifiedHostKey(key: SshPrivateKey, plain: ParsedKey, name: string, certificate: Buffer): ParsedKey {
  return Object.create(plain, {
    type: { value: certificateType(name) },
    getPublicSSH: { value: () => certificate },
    // ssh2 converts no signature of a type it does not know; RSA's needs none, and says which hash.
    sign: {
      value: (data: Buffer, hash?: string) => (key.type === 'ssh-rsa' ? plain.sign(data, hash as never) : signatureValue(key.sign(data))),
    },
  }) as ParsedKey;
}

/** `hostKeys` of an ssh2 server: the certificate, and the plain key for clients that know no certificates. */
export function certifiedHostKeys(key: SshPrivateKey, certificate: CertificateSource): EncryptedPrivateKey[] {
  return [{ key: certifiedKey(key, certificate) }, { key: parsedKey(key) }];
}

/** `authHandler` of an ssh2 client that offers the certificate once, and nothing else. */
export function certificateAuth(username: string, key: SshPrivateKey, certificate: Uint8Array): AuthHandlerMiddleware {
  const attempts = [{ type: 'publickey' as const, username, key: certifiedKey(key, () => certificate) }];
  return (_methodsLeft, _partialSuccess, next) => {
    const attempt = attempts.shift();
    // The typings forget that `false` says there is nothing left to try.
    next(attempt ?? (false as unknown as 'none'));
  };
}

export interface HostTrust {
  /** The name dialled, which the host certificate must carry. */
  readonly hostname: string;
  /** Blobs of the CA keys whose host certificates count. */
  readonly authorities: readonly Uint8Array[];
  /** Blobs of plain host keys that are trusted as they are. */
  readonly pinned?: readonly Uint8Array[];
  /** Unix seconds. */
  readonly now: () => number;
  /** Told why, before ssh2 reports its own "Host denied". */
  readonly onRefused?: (error: StenoError) => void;
}

/**
 * `hostVerifier` of one ssh2 client: make a new one for each connection. Whatever else fails, the host is refused.
 * ssh2 itself proves that the host holds the key, with the signature of the key exchange.
 */
export function hostVerifier(trust: HostTrust): HostVerifier {
  // Keys are exchanged again while a session lasts; a certificate that expired meanwhile must not end it.
  let accepted: Uint8Array | undefined;
  return (blob, decide) => {
    let problem: string | undefined;
    try {
      problem = accepted !== undefined && equalBytes(accepted, blob) ? undefined : hostProblem(blob, trust);
    } catch (error) {
      problem = error instanceof StenoError ? error.message : 'its host key cannot be read';
    }
    // A copy: what ssh2 passes is a view of a packet.
    if (problem === undefined) accepted ??= Uint8Array.from(blob);
    if (problem !== undefined) trust.onRefused?.(new StenoError('NODE_HOST_KEY', `${trust.hostname}: ${problem}`));
    decide(problem === undefined);
  };
}

function hostProblem(blob: Uint8Array, { hostname, authorities, pinned = [], now }: HostTrust): string | undefined {
  const isCertificate = plainKeyType(new SshReader(blob, 'KEY_GARBLED').utf8('the key type', 64)) !== undefined;
  if (!isCertificate) return isPinned(blob, pinned) ? undefined : `its key ${fingerprint(blob)} is not known`;
  const certificate = parseCertificate(blob);
  const admission = checkCertificate(certificate, {
    kind: 'host',
    now: now(),
    trusted: authorities,
    principal: hostname,
    verify: verifyRepeated,
  });
  // A pinned key stays trusted when its owner adds a certificate of somebody else.
  if (admission.ok || isPinned(certificate.publicKey, pinned)) return undefined;
  return `its certificate ${fingerprint(certificate.publicKey)} is refused (${admission.code}: ${admission.detail})`;
}

function isPinned(blob: Uint8Array, pinned: readonly Uint8Array[]): boolean {
  return pinned.some((known) => equalBytes(known, blob));
}

function parsedKey(key: SshPrivateKey): ParsedKey {
  const parsed = ssh2.utils.parseKey(key.toOpenSsh());
  if (parsed instanceof Error) throw new StenoError('KEY_GARBLED', 'ssh2 cannot read it');
  return parsed;
}

/** The second part of a signature blob, which ssh2 wraps again. */
function signatureValue(blob: Uint8Array): Buffer {
  const reader = new SshReader(blob, 'SIGNATURE_GARBLED');
  reader.string('the algorithm');
  return Buffer.from(reader.string('the signature'));
}
