/**
 * Statements of clusters: created from our own keys, and verified when they come from others (format:
 * schemas/documents/cluster.ts).
 *
 * Tested in clusters.test.ts.
 */
import type { ClusterStatement, SignedStatement } from '#schemas/documents/cluster.js';
import { CLUSTER_NAMESPACE, parseStatement } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { equalBytes } from '#schemas/ssh/wire.js';
import { verifyMessage } from '#runtime/ssh/sshsig.js';

/**
 * Returns the statement if one of its signatures was made by one of these keys (public key lines). Throws CLUSTER_UNTRUSTED
 * or BAD_REQUEST.
 */
export function checkStatement({ statement, signatures }: SignedStatement, trusted: readonly string[]): ClusterStatement {
  const parsed = parseStatement(statement);
  if (parsed === null) throw new StenoError('BAD_REQUEST', 'statement: is malformed');
  if (!isSigned({ statement, signatures }, trusted, CLUSTER_NAMESPACE)) throw new StenoError('CLUSTER_UNTRUSTED', parsed.name);
  return parsed;
}

/** Whether one of the signatures was made by one of these keys (public key lines), for this purpose. */
export function isSigned({ statement, signatures }: SignedStatement, trusted: readonly string[], namespace: string): boolean {
  const keys = trusted.map((line) => parseAuthorizedLine(line).blob);
  const message = Buffer.from(statement);
  return signatures.some((armored) => {
    const signer = verifyMessage(armored, message, namespace);
    return signer?.kind === 'key' && keys.some((key) => equalBytes(key, signer.publicKey));
  });
}

/** The keys named in a statement, at least one of which must have signed it: for initial trust, a person compares them. */
export function ownKeys({ statement }: SignedStatement): readonly string[] {
  return parseStatement(statement)?.ssh_user_ca ?? [];
}
