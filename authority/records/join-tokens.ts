/**
 * Tokens with which machines and services join: generated here, shown once, and stored as their public half alone
 * (schemas/join.ts). Each kind has its own table; this is their common part.
 *
 * Tested in ../inventory/nodes/nodes.test.ts and ../services/services.test.ts.
 */
import { X509Certificate, createPrivateKey, randomBytes } from 'node:crypto';
import { formatJoinToken } from '#schemas/join.js';
import { certificatesIn, pinOf } from '#runtime/service/joining.js';
import { generateKeyPem } from '#runtime/ssh/keys.js';
import type { Tx } from './records.js';

export type TokenTable = 'join_tokens' | 'service_tokens';

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/** `token`: includes the secret; `publicKey`: 32 bytes of Ed25519, base64. */
export function newJoinToken(): { readonly id: string; readonly token: string; readonly publicKey: string } {
  const id = [...randomBytes(12)].map((byte) => alphabet[byte % 32]).join('');
  const { d: seed, x: point } = createPrivateKey(generateKeyPem('ed25519')).export({ format: 'jwk' }) as {
    readonly d: string;
    readonly x: string;
  };
  return { id, token: formatJoinToken({ id, seed }), publicKey: Buffer.from(point, 'base64url').toString('base64') };
}

export async function deleteToken(tx: Tx, table: TokenTable, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom(table).where('id', '=', id).executeTakeFirst();
  return numDeletedRows > 0n;
}

/** Of concurrent callers exactly as many get true as there are uses left. */
export async function useToken(tx: Tx, table: TokenTable, id: string, now: number): Promise<boolean> {
  const row = await tx
    .updateTable(table)
    .set((of) => ({ uses_left: of('uses_left', '-', 1) }))
    .where('id', '=', id)
    .where('uses_left', '>', 0)
    .where('expires_at', '>', now)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

export async function purgeTokens(tx: Tx, table: TokenTable, now: number): Promise<void> {
  await tx.deleteFrom(table).where('expires_at', '<=', now).execute();
}

/** Pins of every certificate in the PEM: during a CA rotation, joining may meet either. */
export function pinsOf(pem: string): readonly string[] {
  return certificatesIn(pem).map((one) => pinOf(new X509Certificate(one).publicKey.export({ type: 'spki', format: 'der' })));
}
