/**
 * Host keys as ssh2 wants them, with certificates of the names under which the gateway answers: its own, and each node's
 * for the connections it ends in the node's place. All names share the same keys, one of each kind.
 *
 * Nearly every client takes the first kind, and its certificate is there before the gateway speaks. One of another kind is
 * asked for when a client's list of algorithms shows that it will choose that kind (transport.ts), and kept like the first.
 * A certificate is renewed at half its life, and when another CA key signs or the gateway's own was renewed (`forget`); when
 * that fails, the old one serves to its end. Tested in host-keys.test.ts, and in algorithms.test.ts, where stock `ssh`
 * accepts them by `@cert-authority`.
 */
import { LRUCache } from 'lru-cache';
import type { ParsedKey } from 'ssh2';
import { certificateType, parseCertificate } from '#schemas/ssh/certificate.js';
import { certifiedHostKey, hostKeyNames, plainHostKey } from '#runtime/ssh/certified-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';

/** Host keys by the name of their algorithm. */
export type KeysByName = Readonly<Record<string, ParsedKey>>;

/** What one name is shown with. */
export interface ShownHostKeys {
  /** All that needs no further certificate. */
  readonly ready: KeysByName;
  /** Of what the client takes, best first: null where `ready` will do, else `ready` and what the client will choose. Rejects as the source of certificates does. */
  with(wanted: readonly string[]): Promise<KeysByName> | null;
}

interface Certified {
  /** How often `forget` had been called when it was asked for. */
  readonly epoch: number;
  readonly keys: KeysByName;
  /** ms since 1970. */
  readonly renewAt: number;
  readonly endsAt: number;
}

interface Kind {
  readonly key: SshPrivateKey;
  readonly plain: ParsedKey;
  readonly names: readonly string[];
  readonly certified: LRUCache<string, Promise<Certified>>;
}

/** Instead of a node's name: the gateway itself, under all its names. A node may be called as the gateway's service is. */
export const OWN_NAMES = '';
const maxNames = 10_000;

export class HostKeys {
  readonly #certificateOf: (name: string, key: SshPrivateKey) => Promise<Uint8Array>;
  readonly #kinds: readonly [Kind, ...Kind[]];
  readonly #plain: KeysByName;
  /** By the algorithm of a certificate. */
  readonly #kindOf: ReadonlyMap<string, Kind>;
  readonly #now: () => number;
  #epoch = 0;

  /** `certificateOf`: a host certificate for the key under that name, fresh. `keys`: the one that most clients take comes first. */
  constructor(
    certificateOf: (name: string, key: SshPrivateKey) => Promise<Uint8Array>,
    keys: readonly [SshPrivateKey, ...SshPrivateKey[]],
    now: () => number,
  ) {
    this.#certificateOf = certificateOf;
    const kind = (key: SshPrivateKey): Kind => ({
      key,
      plain: plainHostKey(key),
      names: hostKeyNames(key),
      certified: new LRUCache({ max: maxNames }),
    });
    const [first, ...others] = keys;
    this.#kinds = [kind(first), ...others.map(kind)];
    this.#plain = Object.fromEntries(this.#kinds.flatMap(({ plain, names }) => names.map((name) => [name, plain])));
    this.#kindOf = new Map(this.#kinds.flatMap((each) => each.names.map((name) => [certificateType(name), each])));
    this.#now = now;
  }

  /** Asks anew for each name when it is next needed; what cannot be had anew serves on. */
  forget(): void {
    this.#epoch += 1;
  }

  /** Rejects as the source of certificates does. */
  async of(name: string): Promise<ShownHostKeys> {
    const { keys: ready } = await this.#current(this.#kinds[0], name);
    return {
      ready,
      with: (wanted) => {
        const chosen = wanted.find((algorithm) => algorithm in ready || this.#kindOf.has(algorithm));
        if (chosen === undefined || chosen in ready) return null;
        return this.#current(this.#kindOf.get(chosen)!, name).then(({ keys }) => ({ ...keys, ...ready }));
      },
    };
  }

  async #current(kind: Kind, name: string): Promise<Certified> {
    const { certified } = kind;
    const known = await certified.get(name);
    if (known !== undefined && this.#now() < known.renewAt && known.epoch === this.#epoch) return known;
    // Two that come at once renew twice, which does no harm.
    const renewal = this.#certify(kind, name).catch((error: unknown) => {
      if (known !== undefined && this.#now() < known.endsAt) return known;
      certified.delete(name);
      throw error;
    });
    certified.set(name, renewal);
    return renewal;
  }

  async #certify({ key, plain, names }: Kind, name: string): Promise<Certified> {
    const epoch = this.#epoch;
    const blob = Buffer.from(await this.#certificateOf(name, key));
    const { validBefore } = parseCertificate(blob);
    const now = this.#now();
    const endsAt = Math.min(Number(validBefore) * 1000, now + 30 * 86_400_000);
    const keys = Object.fromEntries(names.map((algorithm) => [certificateType(algorithm), certifiedHostKey(key, plain, algorithm, blob)]));
    return { epoch, keys: { ...keys, ...this.#plain }, renewAt: now + (endsAt - now) / 2, endsAt };
  }
}
