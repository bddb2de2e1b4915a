/**
 * Checks whether the user of a request has confirmed with a second factor, if a role requires one: asks the authority, and remembers its
 * approval until it expires. Without an approval the refusal names the address at which to confirm; the address stays the same until it
 * expires.
 *
 * Every request checks the device of the approval against the locks of the newest snapshot. Tested in ../confirmation.test.ts.
 */
import { LRUCache } from 'lru-cache';
import type { KubeConfirmation, KubeConfirmationRequest } from '#schemas/api/people/confirmations.js';
import { formatDuration } from '#schemas/base/duration.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { assertUnlocked } from '#runtime/http/request-auth.js';
import type { CertifiedUser } from '#runtime/http/x509-user.js';

export type AskConfirmation = (request: KubeConfirmationRequest) => Promise<KubeConfirmation>;

export interface ConfirmationsParts {
  readonly ask: AskConfirmation;
  snapshot(): Snapshot | null;
  /** ms since 1970. */
  readonly now: () => number;
}

type Known = Extract<KubeConfirmation, { readonly state: 'approved' | 'waiting' }>;

const MAX_KNOWN = 10_000;

export class Confirmations {
  readonly #parts: ConfirmationsParts;
  readonly #known = new LRUCache<string, Known>({ max: MAX_KNOWN });
  /** Concurrent requests share one question to the authority. */
  readonly #asking = new Map<string, Promise<KubeConfirmation>>();

  constructor(parts: ConfirmationsParts) {
    this.#parts = parts;
  }

  /**
   * Resolves with the device that confirmed. Rejects KUBE_UNCONFIRMED with the address, LOCKED, or the reason why the authority cannot be
   * asked.
   */
  async assertConfirmed(user: CertifiedUser, cluster: string, source: string): Promise<string> {
    const { snapshot, now } = this.#parts;
    const key = JSON.stringify([user.identity.user, cluster, source]);
    const before = this.#known.get(key);
    const answer = before?.state === 'approved' && before.until > now() ? before : await this.#ask(key, user, cluster, source, before);
    if (answer.state === 'denied') throw new StenoError('KUBE_UNCONFIRMED', 'it was denied in the browser');
    if (answer.state === 'waiting') {
      const left = formatDuration(Math.max(1_000, Math.ceil((answer.expires_at - now()) / 1_000) * 1_000));
      throw new StenoError('KUBE_UNCONFIRMED', `${answer.url} (within ${left})`);
    }
    assertUnlocked(snapshot()?.locks ?? [], [['mfa-device', answer.mfa]], now());
    return answer.mfa;
  }

  async #ask(key: string, user: CertifiedUser, cluster: string, source: string, before: Known | undefined): Promise<KubeConfirmation> {
    const asking =
      this.#asking.get(key) ??
      this.#parts
        .ask({
          cluster,
          user_certificate: user.certificate.raw.toString('base64'),
          source_address: source,
          ...(before?.state === 'waiting' ? { token: before.token } : {}),
        })
        .finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    const answer = await asking;
    // After a denial, the next request asks the user again.
    if (answer.state === 'denied') this.#known.delete(key);
    else this.#known.set(key, answer);
    return answer;
  }
}
