/**
 * Keys that sign for a CA: in this process (unsealed) or in a token (pkcs11.ts).
 *
 * A signer provides one primitive, a 64-byte signature; the SSH and x509 encodings are here, so that adapters need neither.
 * Tested in ca.test.ts and pkcs11.test.ts.
 */
import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { encodePublicKey } from '#schemas/ssh/public-key.js';
import { SshWriter } from '#schemas/ssh/wire.js';

export type CaAlgorithm = 'ed25519' | 'p256';

/**
 * `sign` may be slow or remote; it fails with CA_SIGNER_UNAVAILABLE if the key cannot be reached, in which case nothing was
 * issued. The same data may be signed twice. Calls may overlap.
 */
export interface CaSigner {
  readonly algorithm: CaAlgorithm;
  readonly publicKey: KeyObject;
  /** Ed25519: the signature. P-256: ECDSA over SHA-256 as `r ‖ s`. 64 bytes either way. */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

export function softwareSigner(pem: string): CaSigner {
  const key = createPrivateKey(pem);
  const algorithm = key.asymmetricKeyType === 'ed25519' ? 'ed25519' : 'p256';
  return {
    algorithm,
    publicKey: createPublicKey(key),
    sign: (data) =>
      Promise.resolve(algorithm === 'ed25519' ? sign(null, data, key) : sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })),
  };
}

/** The SSH public key blob. */
export function sshBlob({ algorithm, publicKey }: CaSigner): Uint8Array {
  const jwk = publicKey.export({ format: 'jwk' });
  const part = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
  return encodePublicKey(
    algorithm === 'ed25519'
      ? { kind: 'ed25519', type: 'ssh-ed25519', point: part(jwk.x) }
      : { kind: 'ecdsa', type: 'ecdsa-sha2-nistp256', curve: 'nistp256', point: Buffer.concat([Buffer.of(4), part(jwk.x), part(jwk.y)]) },
  );
}

/** An SSH signature blob over the data. */
export async function sshSign(signer: CaSigner, data: Uint8Array): Promise<Uint8Array> {
  const raw = await signer.sign(data);
  if (signer.algorithm === 'ed25519') return new SshWriter().utf8('ssh-ed25519').string(raw).bytes();
  const pair = new SshWriter().mpint(raw.subarray(0, 32)).mpint(raw.subarray(32)).bytes();
  return new SshWriter().utf8('ecdsa-sha2-nistp256').string(pair).bytes();
}

export function spkiOf({ publicKey }: CaSigner): Buffer {
  return publicKey.export({ type: 'spki', format: 'der' });
}
