/**
 * The gateways that this node dials: those configured at the start, and those listed by an authority.
 *
 *     named ──no longer named──► doubtful ──GONE_MS──► removed, unless it was configured
 *       ▲                            │
 *       └────────named again─────────┘
 *
 * Only an authority's list counts: a gateway carries the signed list and cannot write it (runtime/service/joining.ts).
 * Learned gateways are saved, so that a restart finds a gateway even if all configured ones are gone. Tested in
 * gateways.test.ts and test/agent/node/gateways.test.ts.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { gatewayAddress } from '#schemas/join.js';

/** Long enough for maintenance: meanwhile the gateway is dialled like any other that does not answer. */
export const GONE_MS = 3_600_000;

const kept = z.strictObject({
  version: z.literal(1),
  /** ms since 1970 when authorities stopped listing it; null while it is listed. */
  learned: z.array(z.strictObject({ address: gatewayAddress, unnamed_since: z.number().int().nullable() })).max(256),
});

export class Gateways {
  /** Modified in place: callers read it again for each dial. */
  readonly addresses: string[];
  readonly #told: ReadonlySet<string>;
  readonly #path: string;
  readonly #clock: () => number;
  readonly #learned = new Map<string, number | null>();

  /** `told`: `host:port` of the configured gateways, which are never dropped. */
  constructor(dataDir: string, told: readonly string[], clock: () => number) {
    this.#told = new Set(told);
    this.#path = join(dataDir, 'gateways.json');
    this.#clock = clock;
    for (const { address, unnamed_since } of readKept(this.#path)) this.#learned.set(address, unnamed_since);
    this.addresses = [...this.#told];
    this.#settle();
  }

  /** `list`: all existing gateways, according to an authority. */
  named(list: readonly string[]): void {
    const before = JSON.stringify([...this.#learned]);
    const now = this.#clock();
    for (const [address, since] of this.#learned) if (!list.includes(address)) this.#learned.set(address, since ?? now);
    for (const address of list) if (!this.#told.has(address)) this.#learned.set(address, null);
    this.#settle();
    if (JSON.stringify([...this.#learned]) !== before) this.#keep();
  }

  /** Drops gateways that were unlisted for long enough; returns ms until the next drop. */
  forget(): number {
    const now = this.#clock();
    const size = this.#learned.size;
    let next = Infinity;
    for (const [address, since] of this.#learned) {
      if (since === null) continue;
      if (now - since >= GONE_MS) this.#learned.delete(address);
      else next = Math.min(next, since + GONE_MS - now);
    }
    this.#settle();
    if (this.#learned.size !== size) this.#keep();
    return next;
  }

  #settle(): void {
    this.addresses.splice(0, Infinity, ...new Set([...this.#told, ...this.#learned.keys()]));
  }

  #keep(): void {
    const text = JSON.stringify({
      version: 1,
      learned: [...this.#learned].map(([address, unnamed_since]) => ({ address, unnamed_since })),
    });
    writeFileSync(`${this.#path}.new`, text, { mode: 0o600, flush: true });
    renameSync(`${this.#path}.new`, this.#path);
  }
}

/** An unreadable file is learned again from the first gateway that answers. */
function readKept(path: string): z.infer<typeof kept>['learned'] {
  try {
    return kept.parse(JSON.parse(readFileSync(path, 'utf8'))).learned;
  } catch {
    return [];
  }
}
