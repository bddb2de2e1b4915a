/**
 * Host keys as ssh2 wants them, with certificates of the names under which the gateway answers: its own, and each node's
 * for the connections it ends in the node's place. All names share one key. A certificate is renewed at half its life.
 * Tested in gateway.test.ts: stock `ssh` accepts them by `@cert-authority`.
 */
import type { ParsedKey } from 'ssh2';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { certifiedHostKeys } from '#runtime/ssh/certified-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Authority } from './authority.js';

interface Certified {
  readonly keys: Readonly<Record<string, ParsedKey>>;
  /** ms since 1970. */
  readonly renewAt: number;
}

const maxNames = 10_000;

export class HostKeys {
  readonly #authority: Pick<Authority, 'hostCertificate'>;
  readonly #key: SshPrivateKey;
  readonly #now: () => number;
  readonly #certified = new Map<string, Promise<Certified>>();

  constructor(authority: Pick<Authority, 'hostCertificate'>, key: SshPrivateKey, now: () => number) {
    this.#authority = authority;
    this.#key = key;
    this.#now = now;
  }

  /** Rejects as `Authority.hostCertificate` does. */
  async of(name: string): Promise<Certified['keys']> {
    const known = this.#certified.get(name);
    if (known !== undefined) {
      const certified = await known;
      if (this.#now() < certified.renewAt) return certified.keys;
      // Two that come at once renew twice, which does no harm.
      this.#certified.delete(name);
    }
    const renewal = this.#certify(name);
    renewal.catch(() => this.#certified.delete(name));
    this.#certified.set(name, renewal);
    if (this.#certified.size > maxNames) this.#certified.delete(this.#certified.keys().next().value!);
    return (await renewal).keys;
  }

  async #certify(name: string): Promise<Certified> {
    const line = await this.#authority.hostCertificate(formatPublicLine(this.#key.publicBlob), name);
    const blob = Buffer.from(parseAuthorizedLine(line).blob);
    const { validBefore } = parseCertificate(blob);
    const now = this.#now();
    const endsAt = Math.min(Number(validBefore) * 1000, now + 30 * 86_400_000);
    const keys = Object.fromEntries(certifiedHostKeys(this.#key, () => blob).map(({ key }) => {
      const parsed = key as unknown as ParsedKey;
      return [parsed.type, parsed];
    }));
    return { keys, renewAt: now + (endsAt - now) / 2 };
  }
}
