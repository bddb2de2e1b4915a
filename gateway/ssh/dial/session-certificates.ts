/**
 * Certificates with which the gateway logs in to nodes on behalf of users: one per user certificate, login, node and source
 * address, reused for later connections.
 *
 *     none ──asked──► fresh ──half its life──► renewing, used meanwhile ──MARGIN_MS before its end──► none
 *                       ▲                           │
 *                       └────────answered───────────┘
 *
 * The lifetime is read from the certificate. The margin allows for clock skew of the node and between gateway and authority.
 * Connections that need the same certificate at the same time share one request. Tested in session-certificates.test.ts, and
 * in test/end-to-end/clocks.test.ts with a real authority and a moved clock.
 */
import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { UserProof } from '#schemas/api/services/certificates.js';
import { errorCatalogue, StenoError } from '#schemas/base/errors.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Authority } from '../../sessions/authority.js';
import type { ChangeScope, Subject } from '../../sessions/change-scope.js';

/** The node's clock may be a minute fast and ours a minute slow; reaching the node takes up to 15 s (dial.ts). */
const MARGIN_MS = 135_000;
/** A node that refuses a certificate younger than this does not refuse it for its age. */
const YOUNG_MS = 10_000;
const maxKept = 10_000;

/** A user who has proved possession of a certificate on a connection from `source`. */
export interface ProvenUser {
  readonly identity: Subject['identity'];
  /** The user certificate as it was offered. */
  readonly blob: Buffer;
  readonly source: string;
  /** The signature from the connection: the authority issues no session certificate without it. */
  readonly proof: UserProof;
  /** The second-factor approval, where policy requires one for this session. */
  readonly confirmation: string | null;
}

interface Kept {
  readonly of: Subject;
  readonly blob: Buffer;
  /** All in ms since 1970, by our clock. */
  readonly askedAt: number;
  readonly renewAt: number;
  readonly usableUntil: number;
}

export class SessionCertificates {
  readonly #authority: Pick<Authority, 'sessionCertificate'>;
  readonly #now: () => number;
  readonly #kept = new LRUCache<string, Kept>({ max: maxKept });
  readonly #asking = new Map<string, { readonly of: Subject; readonly answer: Promise<Kept> }>();
  /** Generated for this process, never stored. */
  readonly key: SshPrivateKey;

  constructor(authority: Pick<Authority, 'sessionCertificate'>, key: SshPrivateKey, now: () => number) {
    this.#authority = authority;
    this.key = key;
    this.#now = now;
  }

  async of(admitted: ProvenUser, login: string, node: string): Promise<Buffer> {
    // A confirmed session has a certificate of its own: another session needs another confirmation.
    if (admitted.confirmation !== null) return (await this.#ask(admitted, login, node)).blob;
    const id = identify(admitted, login, node);
    const kept = this.#kept.get(id);
    const now = this.#now();
    if (kept === undefined || now >= kept.usableUntil) return (await this.#renew(id, admitted, login, node)).blob;
    if (now >= kept.renewAt) this.#renewBehind(id, kept, admitted, login, node);
    return kept.blob;
  }

  /**
   * A replacement for the certificate that a node refused; null if that one was fresh, so that another would be refused too.
   */
  async replacement(refused: Uint8Array, admitted: ProvenUser, login: string, node: string): Promise<Buffer | null> {
    if (admitted.confirmation !== null) return null;
    const id = identify(admitted, login, node);
    const kept = this.#kept.get(id);
    if (kept !== undefined && kept.blob !== refused) return kept.blob;
    const age = this.#now() - (kept?.askedAt ?? -Infinity);
    return age >= 0 && age < YOUNG_MS ? null : (await this.#renew(id, admitted, login, node)).blob;
  }

  /** Drops the certificates that a change may affect: the authority may now decide differently. */
  forget(scope: ChangeScope): void {
    if (!scope.any) return;
    for (const [id, { of }] of [...this.#kept]) if (scope.concerns(of)) this.#kept.delete(id);
    // Pending answers still serve the callers waiting for them, but nobody after.
    for (const [id, { of }] of this.#asking) if (scope.concerns(of)) this.#asking.delete(id);
  }

  #renewBehind(id: string, kept: Kept, admitted: ProvenUser, login: string, node: string): void {
    this.#renew(id, admitted, login, node).catch((error: unknown) => {
      // While the authority is unreachable, the old certificate remains in use; once the authority refuses, it does not.
      const away = error instanceof StenoError && errorCatalogue[error.code].retryable;
      if (!away && this.#kept.get(id) === kept) this.#kept.delete(id);
    });
  }

  #renew(id: string, admitted: ProvenUser, login: string, node: string): Promise<Kept> {
    const asking = this.#asking.get(id);
    if (asking !== undefined) return asking.answer;
    const of: Subject = { identity: admitted.identity, target: { kind: 'node', login, node } };
    const renewal: Promise<Kept> = this.#ask(admitted, login, node)
      .then((fresh) => {
        if (this.#asking.get(id)?.answer !== renewal) return fresh;
        this.#kept.set(id, fresh);
        return fresh;
      })
      .finally(() => {
        if (this.#asking.get(id)?.answer === renewal) this.#asking.delete(id);
      });
    this.#asking.set(id, { of, answer: renewal });
    return renewal;
  }

  async #ask({ identity, blob, source, proof, confirmation }: ProvenUser, login: string, node: string): Promise<Kept> {
    const askedAt = this.#now();
    const line = await this.#authority.sessionCertificate({
      user: identity.user,
      login,
      node,
      source_address: source,
      public_key: formatPublicLine(this.key.publicBlob),
      user_certificate: blob.toString('base64'),
      proof,
      ...(confirmation === null ? {} : { confirmation }),
    });
    const given = Buffer.from(parseAuthorizedLine(line).blob);
    const { validAfter, validBefore } = parseCertificate(given);
    // Never longer than its full lifetime, however slow our clock is.
    const life = Math.min(Number(validBefore) * 1000 - askedAt, Number(validBefore - validAfter) * 1000);
    return {
      of: { identity, target: { kind: 'node', login, node } },
      blob: given,
      askedAt,
      renewAt: askedAt + life / 2,
      usableUntil: askedAt + life - MARGIN_MS,
    };
  }
}

function identify({ blob, source }: ProvenUser, login: string, node: string): string {
  return [createHash('sha256').update(blob).digest('base64'), login, node, source].join(' ');
}
