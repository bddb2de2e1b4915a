/**
 * Certificates with which the gateway enters nodes in a user's name: one for each certificate of a user, login and
 * node, kept for five minutes at most so that a second connection needs no second one. Tested in gateway.test.ts.
 */
import { createHash } from 'node:crypto';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Admitted } from './admission.js';
import type { Authority } from './authority.js';

const KEEP_MS = 5 * 60_000;
const maxKept = 10_000;

export class SessionCertificates {
  readonly #authority: Pick<Authority, 'sessionCertificate'>;
  readonly #now: () => number;
  readonly #kept = new Map<string, { readonly blob: Promise<Buffer>; readonly until: number }>();
  /** Made for this process, never stored. */
  readonly key: SshPrivateKey;

  constructor(authority: Pick<Authority, 'sessionCertificate'>, key: SshPrivateKey, now: () => number) {
    this.#authority = authority;
    this.key = key;
    this.#now = now;
  }

  of(admitted: Admitted, login: string, node: string): Promise<Buffer> {
    const { identity, blob, source } = admitted;
    // A confirmed session has a certificate of its own: another session needs another confirmation.
    if (admitted.confirmation !== null) return this.#ask(admitted, login, node);
    const id = [createHash('sha256').update(blob).digest('base64'), login, node, source].join(' ');
    const now = this.#now();
    const kept = this.#kept.get(id);
    if (kept !== undefined && now < kept.until) return kept.blob;
    const fresh = this.#ask(admitted, login, node);
    fresh.catch(() => this.#kept.delete(id));
    this.#kept.delete(id);
    this.#kept.set(id, { blob: fresh, until: Math.min(now + KEEP_MS, identity.validBefore * 1000) });
    if (this.#kept.size > maxKept) this.#kept.delete(this.#kept.keys().next().value!);
    return fresh;
  }

  async #ask({ identity, blob, source, confirmation }: Admitted, login: string, node: string): Promise<Buffer> {
    const line = await this.#authority.sessionCertificate({
      user: identity.user,
      login,
      node,
      source_address: source,
      public_key: formatPublicLine(this.key.publicBlob),
      user_certificate: blob.toString('base64'),
      ...(confirmation === null ? {} : { confirmation }),
    });
    return Buffer.from(parseAuthorizedLine(line).blob);
  }

  /** After locks or roles changed, the authority is asked anew. */
  forget(): void {
    this.#kept.clear();
  }
}
