/**
 * Signing and verifying messages as `ssh-keygen -Y` does (OpenSSH PROTOCOL.sshsig).
 *
 * A message signed with a certificate as public key names its signer; `checkCertificate` decides, given the result of
 * `verifyMessage`, whether that certificate is valid.
 *
 * Tested in `sshsig.test.ts`, with ssh-keygen as the other side.
 */
import { createHash } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { armorSshsig, dearmorSshsig, decodeSshsig, encodeSshsig, isCertificateBlob, sshsigSignedData } from '#schemas/ssh/signature.js';
import type { SshsigHash } from '#schemas/ssh/signature.js';
import { verify } from './keys.js';
import type { SshSigner } from './keys.js';

export type MessageSigner =
  | { readonly kind: 'key'; readonly publicKey: Uint8Array }
  /** `publicKey` is the certified plain key. The certificate itself is not checked yet. */
  | { readonly kind: 'certificate'; readonly publicKey: Uint8Array; readonly certificate: SshCertificate };

export interface SignOptions {
  /** Purpose of the signature, such as `steno-request`; the verifier must expect the same. */
  readonly namespace: string;
  /** Blob of a certificate for the signing key, named as signer in place of the plain key. */
  readonly certificate?: Uint8Array;
}

/** The armored signature. */
export function signMessage(signer: SshSigner, message: Uint8Array, { namespace, certificate }: SignOptions): string {
  const hashAlgorithm = 'sha512';
  const signature = signer.sign(sshsigSignedData(namespace, hashAlgorithm, digest(hashAlgorithm, message)));
  return armorSshsig(encodeSshsig({ publicKey: certificate ?? signer.publicBlob, namespace, hashAlgorithm, signature }));
}

/** Who signed the message for this namespace; undefined if it is unsigned or the signature cannot be parsed. */
export function verifyMessage(armored: string, message: Uint8Array, namespace: string): MessageSigner | undefined {
  try {
    const sshsig = decodeSshsig(dearmorSshsig(armored));
    if (sshsig.namespace !== namespace) return undefined;
    const signer = signerOf(sshsig.publicKey);
    const signed = sshsigSignedData(namespace, sshsig.hashAlgorithm, digest(sshsig.hashAlgorithm, message));
    return verify(signer.publicKey, sshsig.signature, signed) ? signer : undefined;
  } catch (error) {
    if (error instanceof StenoError) return undefined;
    throw error;
  }
}

function signerOf(blob: Uint8Array): MessageSigner {
  if (!isCertificateBlob(blob)) return { kind: 'key', publicKey: blob };
  const certificate = parseCertificate(blob);
  return { kind: 'certificate', publicKey: certificate.publicKey, certificate };
}

function digest(algorithm: SshsigHash, message: Uint8Array): Buffer {
  return createHash(algorithm).update(message).digest();
}
