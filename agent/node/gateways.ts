/**
 * Which gateways this node dials: those it was told of when it started, and those that an authority says are there.
 *
 *     named ──no longer named──► doubtful ──GONE_MS──► gone, unless the node was told of it
 *       ▲                            │
 *       └────────named again─────────┘
 *
 * An authority's word counts alone: a gateway carries the signed list and cannot write it (runtime/service/joining.ts). What was
 * learned is kept, so that a restart finds a gateway even when all that the node was told of are gone. Tested in
 * gateways.test.ts and test/agent/node/gateways.test.ts.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { gatewayAddress } from '#schemas/join.js';

/** A gateway that is being moved or mended is dialled meanwhile, at the pace of any that does not answer. */
export const GONE_MS = 3_600_000;

const kept = z.strictObject({
  version: z.literal(1),
  /** ms since 1970 since when no authority names it; null while one does. */
  learned: z.array(z.strictObject({ address: gatewayAddress, unnamed_since: z.number().int().nullable() })).max(256),
});

export class Gateways {
  /** Changes in place: whoever dials reads it anew each time. */
  readonly addresses: string[];
  readonly #told: ReadonlySet<string>;
  readonly #path: string;
  readonly #clock: () => number;
  readonly #learned = new Map<string, number | null>();

  /** `told`: `host:port` of each, which are never given up. */
  constructor(dataDir: string, told: readonly string[], clock: () => number) {
    this.#told = new Set(told);
    this.#path = join(dataDir, 'gateways.json');
    this.#clock = clock;
    for (const { address, unnamed_since } of readKept(this.#path)) this.#learned.set(address, unnamed_since);
    this.addresses = [...this.#told];
    this.#settle();
  }

  /** All that there are, by an authority. */
  named(list: readonly string[]): void {
    const before = JSON.stringify([...this.#learned]);
    const now = this.#clock();
    for (const [address, since] of this.#learned) if (!list.includes(address)) this.#learned.set(address, since ?? now);
    for (const address of list) if (!this.#told.has(address)) this.#learned.set(address, null);
    this.#settle();
    if (JSON.stringify([...this.#learned]) !== before) this.#keep();
  }

  /** Gives up those that have been doubtful for long enough; ms until the next one will have been. */
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

/** What cannot be read is learned again from the first gateway that answers. */
function readKept(path: string): z.infer<typeof kept>['learned'] {
  try {
    return kept.parse(JSON.parse(readFileSync(path, 'utf8'))).learned;
  } catch {
    return [];
  }
}
