/**
 * Host keys as ssh2 wants them, with certificates of the names under which the gateway answers: its own, and each node's
 * for the connections it ends in the node's place. All names share one key. A certificate is renewed at half its life, and
 * when another CA key signs or the gateway's own was renewed (`forget`); when that fails, the old one serves to its end.
 * Tested in host-keys.test.ts, and in gateway.test.ts, where stock `ssh` accepts them by `@cert-authority`.
 */
import type { ParsedKey } from 'ssh2';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import { certifiedHostKeys } from '#runtime/ssh/certified-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';

interface Certified {
  /** How often `forget` had been called when it was asked for. */
  readonly epoch: number;
  readonly keys: Readonly<Record<string, ParsedKey>>;
  /** ms since 1970. */
  readonly renewAt: number;
  readonly endsAt: number;
}

const maxNames = 10_000;

export class HostKeys {
  readonly #certificateOf: (name: string) => Promise<Uint8Array>;
  readonly #key: SshPrivateKey;
  readonly #now: () => number;
  readonly #certified = new Map<string, Promise<Certified>>();
  #epoch = 0;

  /** `certificateOf`: a host certificate for `key` under that name, fresh. */
  constructor(certificateOf: (name: string) => Promise<Uint8Array>, key: SshPrivateKey, now: () => number) {
    this.#certificateOf = certificateOf;
    this.#key = key;
    this.#now = now;
  }

  /** Asks anew for each name when it is next needed; what cannot be had anew serves on. */
  forget(): void {
    this.#epoch += 1;
  }

  /** Rejects as the source of certificates does. */
  async of(name: string): Promise<Certified['keys']> {
    const known = await this.#certified.get(name);
    if (known !== undefined && this.#now() < known.renewAt && known.epoch === this.#epoch) return known.keys;
    // Two that come at once renew twice, which does no harm.
    const renewal = this.#certify(name).catch((error: unknown) => {
      if (known !== undefined && this.#now() < known.endsAt) return known;
      this.#certified.delete(name);
      throw error;
    });
    this.#certified.set(name, renewal);
    if (this.#certified.size > maxNames) this.#certified.delete(this.#certified.keys().next().value!);
    return (await renewal).keys;
  }

  async #certify(name: string): Promise<Certified> {
    const epoch = this.#epoch;
    const blob = Buffer.from(await this.#certificateOf(name));
    const { validBefore } = parseCertificate(blob);
    const now = this.#now();
    const endsAt = Math.min(Number(validBefore) * 1000, now + 30 * 86_400_000);
    const keys = Object.fromEntries(
      certifiedHostKeys(this.#key, () => blob).map(({ key }) => {
        const parsed = key as unknown as ParsedKey;
        return [parsed.type, parsed];
      }),
    );
    return { epoch, keys, renewAt: now + (endsAt - now) / 2, endsAt };
  }
}
