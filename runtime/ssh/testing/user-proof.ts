/** Signatures that a client would make to be admitted by a gateway, for tests that stand in for both. */
import { randomBytes } from 'node:crypto';
import type { UserProof } from '#schemas/api/services/certificates.js';
import { userAuthData, userAuthRequest } from '#schemas/ssh/user-auth.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshSigner } from '../keys.js';

export interface ProofWish {
  readonly userName: string;
  /** If omitted: a random one, as of a separate connection. */
  readonly sessionId?: Uint8Array;
  /** If omitted: the method without host binding. */
  readonly hostKey?: Uint8Array;
}

/** `certificate`: blob, for `key`; RSA keys sign as rsa-sha2-512. */
export function signUserProof(
  key: SshSigner,
  certificate: Uint8Array,
  { userName, sessionId = randomBytes(32), hostKey }: ProofWish,
): UserProof {
  const { certType, keyType } = parseCertificate(certificate);
  const algorithm = keyType === 'ssh-rsa' ? 'rsa-sha2-512-cert-v01@openssh.com' : certType;
  const request = userAuthRequest({ userName, algorithm, publicKey: certificate, hostKey: hostKey ?? null });
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    session_id: base64(sessionId),
    user_name: userName,
    algorithm,
    signature: base64(key.sign(userAuthData(sessionId, request))),
    ...(hostKey === undefined ? {} : { host_key: base64(hostKey) }),
  };
}
