/**
 * The message that a user signs to authenticate: the publickey request of RFC 4252 section 7, and OpenSSH's variant that also
 * contains the server's host key (`publickey-hostbound-v00@openssh.com`, PROTOCOL section 3.1).
 *
 *     string session id ‖ byte 50 ‖ string user ‖ string "ssh-connection" ‖ string method ‖ byte 1
 *       ‖ string algorithm ‖ string public key or certificate [‖ string host key]
 *
 * The session id is a hash over the key exchange with one server, so the signature is valid for one connection only. Tested
 * in user-auth.test.ts, and with signatures of stock `ssh` in gateway/ssh/server/user-proof.test.ts.
 */
import { MSG } from './numbers.js';
import { SshWriter } from './wire.js';

export const METHOD_PUBLICKEY = 'publickey';
export const METHOD_HOSTBOUND = 'publickey-hostbound-v00@openssh.com';
/** The extension (RFC 8308) by which a server announces `METHOD_HOSTBOUND`, and its version. */
export const EXTENSION_HOSTBOUND = ['publickey-hostbound@openssh.com', '0'] as const;
/** Length of a session id in bytes: SHA-256 to SHA-512. */
export const SESSION_ID_BYTES = { min: 32, max: 64 } as const;

export interface UserAuthRequest {
  readonly userName: string;
  readonly algorithm: string;
  /** Blob of the key or certificate. */
  readonly publicKey: Uint8Array;
  /** Blob that the server presented in the first key exchange; null: the method does not contain it. */
  readonly hostKey: Uint8Array | null;
}

/** The message without its signature. */
export function userAuthRequest({ userName, algorithm, publicKey, hostKey }: UserAuthRequest): Uint8Array {
  const request = new SshWriter()
    .byte(MSG.userauthRequest)
    .utf8(userName)
    .utf8('ssh-connection')
    .utf8(hostKey === null ? METHOD_PUBLICKEY : METHOD_HOSTBOUND)
    .byte(1)
    .utf8(algorithm)
    .string(publicKey);
  return (hostKey === null ? request : request.string(hostKey)).bytes();
}

/** The signed bytes. `request`: the result of `userAuthRequest`, or a received request unchanged. */
export function userAuthData(sessionId: Uint8Array, request: Uint8Array): Uint8Array {
  return new SshWriter().string(sessionId).raw(request).bytes();
}
