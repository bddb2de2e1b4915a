/**
 * Adds certificates to both sides of ssh2, which does not support them.
 *
 * ssh2 uses a key object's `type`, `getPublicSSH()` and `sign()`; if these return the certificate's type and blob, ssh2
 * presents the certificate. A few places in ssh2 must know that a certified key *signs* as the plain key:
 * `patches/ssh2+1.17.0.patch`. A key object fetches its certificate once per connection, so a renewed host certificate needs
 * no new server.
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

/** Value for `algorithms.serverHostKey` towards a host that may present a certificate; certificates come first. */
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
  // The typings list only the algorithms that unpatched ssh2 supports.
] as unknown as ServerHostKeyAlgorithm[];

/** A key object that ssh2 accepts as its own and that presents the certificate in place of the plain key. */
function certifiedKey(key: SshPrivateKey, certificate: CertificateSource): ParsedKey {
  const plain = parsedKey(key);
  // For RSA the algorithm names the hash that `sign` uses, while the blob says `ssh-rsa-cert-v01@openssh.com` regardless.
  const type = certificateType(key.type === 'ssh-rsa' ? 'rsa-sha2-512' : key.type);
  // OpenSSH's client closes a connection whose host certificate differs at a later key exchange, even if it was renewed.
  const shown = new WeakMap<object, Buffer>();
  const shownTo = (connection: object): Buffer => {
    const blob = shown.get(connection) ?? Buffer.from(certificate());
    shown.set(connection, blob);
    return blob;
  };
  return Object.create(plain, {
    type: { value: type },
    // The patched key exchange passes the connection; other ssh2 code does not.
    getPublicSSH: { value: (connection?: object) => (connection === undefined ? Buffer.from(certificate()) : shownTo(connection)) },
    // ssh2 does not convert signatures of types it does not know, so return the wire form.
    sign: { value: (data: Uint8Array) => signatureValue(key.sign(data)) },
  }) as ParsedKey;
}

/** The algorithm names a host key signs under: RSA has one for each hash. */
export function hostKeyNames(key: SshPrivateKey): readonly string[] {
  return key.type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [key.type];
}

/** The plain key in the form ssh2's protocol expects; it chooses the hash of an RSA signature itself. */
export function plainHostKey(key: SshPrivateKey): ParsedKey {
  return parsedKey(key);
}

/** The same, presenting this certificate; `name` is one of `hostKeyNames`. */
export function certifiedHostKey(key: SshPrivateKey, plain: ParsedKey, name: string, certificate: Buffer): ParsedKey {
  return Object.create(plain, {
    type: { value: certificateType(name) },
    getPublicSSH: { value: () => certificate },
    // ssh2 does not convert signatures of types it does not know; an RSA signature needs no conversion and names its hash.
    sign: {
      value: (data: Buffer, hash?: string) => (key.type === 'ssh-rsa' ? plain.sign(data, hash as never) : signatureValue(key.sign(data))),
    },
  }) as ParsedKey;
}

/** `hostKeys` of an ssh2 server: the certificate, and the plain key for clients without certificate support. */
export function certifiedHostKeys(key: SshPrivateKey, certificate: CertificateSource): EncryptedPrivateKey[] {
  return [{ key: certifiedKey(key, certificate) }, { key: parsedKey(key) }];
}

/** `authHandler` of an ssh2 client that offers the certificate once, and nothing else. */
export function certificateAuth(username: string, key: SshPrivateKey, certificate: Uint8Array): AuthHandlerMiddleware {
  const attempts = [{ type: 'publickey' as const, username, key: certifiedKey(key, () => certificate) }];
  return (_methodsLeft, _partialSuccess, next) => {
    const attempt = attempts.shift();
    // The typings omit `false`, which says that no attempts are left.
    next(attempt ?? (false as unknown as 'none'));
  };
}

export interface HostTrust {
  /** The dialled name, which the host certificate must contain. */
  readonly hostname: string;
  /** Blobs of the CA keys whose host certificates are accepted. */
  readonly authorities: readonly Uint8Array[];
  /** Blobs of plain host keys that are trusted directly. */
  readonly pinned?: readonly Uint8Array[];
  /** Unix seconds. */
  readonly now: () => number;
  /** Called with the reason, before ssh2 reports its own "Host denied". */
  readonly onRefused?: (error: StenoError) => void;
}

/**
 * `hostVerifier` of one ssh2 client; create a new one for each connection. Any error refuses the host. ssh2 itself verifies
 * that the host holds the key, by the signature of the key exchange.
 */
export function hostVerifier(trust: HostTrust): HostVerifier {
  // Keys are exchanged again during a session; a certificate that has expired by then must not end it.
  let accepted: Uint8Array | undefined;
  return (blob, decide) => {
    let problem: string | undefined;
    try {
      problem = accepted !== undefined && equalBytes(accepted, blob) ? undefined : hostProblem(blob, trust);
    } catch (error) {
      problem = error instanceof StenoError ? error.message : 'its host key cannot be read';
    }
    // Copy: ssh2 passes a view of a packet.
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
  // A pinned key stays trusted if its owner adds somebody else's certificate.
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
