/**
 * Verifies that a user is connecting to the gateway that asks for a session certificate in the user's name, by the signature
 * with which the user authenticated there. A compromised gateway can thus act for users who connect to it, and for no others.
 *
 * In this order:
 *   1. the signature over the session id, by the certified key, under an algorithm that fits the certificate;
 *   2. the user name: `LOGIN@NODE` is valid for that login and node, `LOGIN` for that login;
 *   3. the host key, if the client signed it: it must be one that the gateway was enrolled with;
 *   4. the claim: a session id belongs to the gateway, login and node that present it first, and is valid for `CLAIM_MS`.
 *      Claims are kept until the user's certificate expires.
 * Limits: a session id carries no time and, without 3, no gateway (docs/decisions/0050). Tested in user-proofs.test.ts.
 */
import { createHash } from 'node:crypto';
import type { SessionCertificateRequest, UserProof } from '#schemas/api/services/certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import { parseTarget } from '#schemas/base/identity.js';
import { decodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate, plainKeyType } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { SESSION_ID_BYTES, userAuthData, userAuthRequest } from '#schemas/ssh/user-auth.js';
import { SshReader } from '#schemas/ssh/wire.js';
import { provesPossession } from '#runtime/ssh/possession.js';
import { keyHash } from '../inventory/nodes/records.js';
import type { Tx } from '../records/records.js';

/** Longer than two dials of a node. A connection asks once or twice, at its beginning. */
export const CLAIM_MS = 120_000;

export interface Claim {
  /** Hash of the session id. */
  readonly hash: string;
  readonly gateway: string;
  readonly login: string;
  readonly node: string;
  /** SHA-256 of the host key that the client signed; null if it signed none. */
  readonly hostKey: string | null;
  /** ms since 1970: end of the user's certificate. */
  readonly expiresAt: number;
}

/** Steps 1 and 2. Throws USER_PROOF_REFUSED. `certificate` has been checked; `blob` is its encoding. */
export function claimOf(gateway: string, request: SessionCertificateRequest, certificate: SshCertificate, blob: Uint8Array): Claim {
  const { login, node } = request;
  // Older gateways send none, despite the type.
  const proof = request.proof as UserProof | undefined;
  if (proof === undefined) throw new StenoError('USER_PROOF_REFUSED', 'the gateway sent no proof: it is older than the authority');
  const { session_id, user_name: userName, algorithm } = proof;
  const [sessionId, signature, hostKey] = [session_id, proof.signature, proof.host_key].map((text) =>
    text === undefined ? null : decodeBase64(text),
  );
  if (
    !sessionId ||
    !signature ||
    hostKey === undefined ||
    sessionId.length < SESSION_ID_BYTES.min ||
    sessionId.length > SESSION_ID_BYTES.max
  )
    throw new StenoError('BAD_REQUEST', 'proof: has the wrong format');
  const signed = userAuthData(sessionId, userAuthRequest({ userName, algorithm, publicKey: blob, hostKey }));
  if (!provesPossession(certificate, { key: { algo: algorithm }, signature, blob: signed }))
    throw new StenoError('USER_PROOF_REFUSED', 'the signature does not match this user, connection and request');
  const target = parseTarget(userName);
  const asked = target === null ? userName === login : target.login === login && target.node === node;
  if (!asked) throw new StenoError('USER_PROOF_REFUSED', `the user asked for ${JSON.stringify(userName.slice(0, 100))}`);
  return {
    hash: keyHash(sessionId),
    gateway,
    login,
    node,
    hostKey: hostKey === null ? null : keyHash(plainKey(hostKey)),
    expiresAt: Number(certificate.validBefore) * 1000,
  };
}

/** Steps 3 and 4, in the transaction of the certificates. Returns for each claim the reason for refusal, or null. */
export async function takeClaims(tx: Tx, claims: readonly Claim[], now: number): Promise<readonly (StenoError | null)[]> {
  const gateways = [...new Set(claims.flatMap(({ gateway, hostKey }) => (hostKey === null ? [] : [gateway])))];
  const keys = gateways.length === 0 ? [] : await tx.selectFrom('gateway_host_keys').selectAll().where('gateway', 'in', gateways).execute();
  const shown = claims.map(
    ({ gateway, hostKey }) => hostKey === null || keys.some((key) => key.gateway === gateway && key.key_hash === hostKey),
  );
  const first = claims.filter((_, i) => shown[i]!);
  if (first.length > 0) {
    // Several requests for one connection in a batch create one row, that of the first request.
    const rows = [
      ...new Map(
        first.toReversed().map(({ hostKey: _, expiresAt, ...claim }) => [claim.hash, { ...claim, seen_at: now, expires_at: expiresAt }]),
      ).values(),
    ];
    await tx
      .insertInto('user_proofs')
      .values(rows)
      .onConflict((on) => on.column('hash').doNothing())
      .execute();
  }
  const known =
    first.length === 0
      ? []
      : await tx
          .selectFrom('user_proofs')
          .selectAll()
          .where('hash', 'in', [...new Set(first.map(({ hash }) => hash))])
          .execute();
  const byHash = new Map(known.map((row) => [row.hash, row]));
  return claims.map((claim, i) => {
    if (!shown[i]!) return new StenoError('USER_PROOF_REFUSED', `the user connected to another server than ${claim.gateway}`);
    const row = byHash.get(claim.hash)!;
    if (row.gateway !== claim.gateway || row.login !== claim.login || row.node !== claim.node)
      return new StenoError('USER_PROOF_REFUSED', `this connection was for ${row.login} on ${row.node} through ${row.gateway}`);
    return now - row.seen_at > CLAIM_MS ? new StenoError('USER_PROOF_REFUSED', 'this connection began too long ago') : null;
  });
}

export async function purgeClaims(tx: Tx, now: number): Promise<void> {
  await tx.deleteFrom('user_proofs').where('expires_at', '<=', now).execute();
}

/** The certified key of a host certificate. An unparsable blob maps to a value that is nobody's key. */
function plainKey(blob: Uint8Array): Uint8Array {
  try {
    return plainKeyType(new SshReader(blob, 'KEY_GARBLED').utf8('the key type', 64)) === undefined
      ? blob
      : parseCertificate(blob).publicKey;
  } catch {
    return createHash('sha256').update(blob).digest();
  }
}
