/**
 * Host keys in ssh2's form, with certificates for the names under which the gateway answers: its own names, and the name of each node
 * whose connections it terminates in the node's place. All names share the same keys, one per kind.
 *
 * Nearly every client accepts the first kind, whose certificate is ready before the gateway speaks. A certificate of another
 * kind is requested when a client's algorithm list shows that it will choose that kind (transport.ts), and cached like the
 * first. A certificate is renewed at half its lifetime, and when the CA key changes or the gateway's own certificate was
 * renewed (`forget`); if renewal fails, the old one is used until it expires. Tested in host-keys.test.ts, and in
 * algorithms.test.ts, where stock `ssh` accepts them by `@cert-authority`.
 */
import { LRUCache } from 'lru-cache';
import type { ParsedKey } from 'ssh2';
import { certificateType, parseCertificate } from '#schemas/ssh/certificate.js';
import { certifiedHostKey, hostKeyNames, plainHostKey } from '#runtime/ssh/certified-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';

/** Host keys by the name of their algorithm. */
export type KeysByName = Readonly<Record<string, ParsedKey>>;

/** The host keys shown under one name. */
export interface ShownHostKeys {
  /** The keys that need no further certificate. */
  readonly ready: KeysByName;
  /**
   * `wanted`: the client's algorithms, best first. Null if `ready` suffices, otherwise resolves to `ready` plus the key that
   * the client will choose. Rejects as the source of certificates does.
   */
  with(wanted: readonly string[]): Promise<KeysByName> | null;
}

interface Certified {
  /** How often `forget` had been called when the certificate was requested. */
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

/**
 * In place of a node's name: the gateway itself, under all its names. A node may have the same name as the gateway's
 * service.
 */
export const OWN_NAMES = '';
const maxNames = 10_000;

export class HostKeys {
  readonly #certificateOf: (name: string, key: SshPrivateKey) => Promise<Uint8Array>;
  readonly #kinds: readonly [Kind, ...Kind[]];
  readonly #plain: KeysByName;
  /** By certificate algorithm. */
  readonly #kindOf: ReadonlyMap<string, Kind>;
  readonly #now: () => number;
  #epoch = 0;

  /**
   * `certificateOf`: returns a new host certificate for the key under that name. `keys`: the kind that most clients accept
   * comes first.
   */
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

  /** Requests a new certificate for each name when it is next needed; if that fails, the old one stays in use. */
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
    // Two concurrent calls renew twice, which is harmless.
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
