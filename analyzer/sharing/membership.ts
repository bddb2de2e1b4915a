/**
 * The part of an analyzer among those that share a store.
 *
 *     asking for a seat ──a lease is free──► seated, with the shares of its seat ◄──┐
 *        ▲                                      │          └──other seats are taken─┘
 *        └────────not renewed in time───────────┘
 *
 * A seat is a lease, `analyze/seat-N`; the seats that are taken, in the eyes of the authority, decide which sessions each follows
 * (shares.ts). A change counts once it has been seen twice, `LOOK_MS` apart. Until everybody has seen it, two analyzers may follow a session,
 * which makes the same findings under the same ids, or none does, which is made up for from the store: the leases divide the work, they
 * protect nothing.
 *
 * One of the seated leads, under the lease `analyze/sessions`: only the leader runs the detectors that look across sessions. Analyzers of
 * before sharing follow all sessions under that lease. Tested in membership.test.ts.
 */
import { allShares, formatShares } from '#schemas/events/shares.js';
import type { Log } from '#runtime/log.js';
import { pause } from '#runtime/pause.js';
import type { Alone } from '#stores/leases/keeper.js';
import { sharesOf } from './shares.js';

export interface Assignment {
  readonly shares: ReadonlySet<number>;
  readonly leads: boolean;
}

export interface MembershipParts {
  readonly alone: Alone;
  /** Names of held leases with a prefix. If omitted, no other analyzer can reach the store, and the leader follows all sessions. */
  readonly held?: (prefix: string) => Promise<readonly string[]>;
  /** Called with every change; null: nothing is to be followed. */
  readonly onAssignment: (assignment: Assignment | null) => void;
  readonly log: Log;
  readonly lookMs?: number;
}

/** So many analyzers work at once; more wait for a seat. */
export const SEATS = 64;
const LEADER = 'analyze/sessions';
const SEAT = 'analyze/seat-';
const LOOK_MS = 2_000;
const RETRY_MS = 1_000;

export class Membership {
  readonly #parts: MembershipParts;
  readonly #closing = new AbortController();
  readonly #lasting: Promise<void>;
  #shares: ReadonlySet<number> | null = null;
  #leads = false;
  /** The last assignment as text; '' for none. */
  #assigned = '';

  constructor(parts: MembershipParts) {
    this.#parts = parts;
    this.#lasting = parts.held === undefined ? this.#sole() : this.#seated(parts.held);
  }

  /** Resolves when its leases are given back. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#lasting;
  }

  /** Nobody else is there to share with: whoever leads follows all sessions. */
  #sole(): Promise<void> {
    return this.#keep(this.#closing.signal, 'the lease of the analyzer', async () => {
      const { kind } = await this.#parts.alone(LEADER, async ({ signal }) => {
        try {
          this.#assign(allShares, true);
          await aborted(AbortSignal.any([signal, this.#closing.signal]));
        } finally {
          this.#assign(null, false);
        }
      });
      if (kind === 'done' && !this.#closing.signal.aborted) this.#parts.log.warn('another analyzer has taken over');
    });
  }

  #seated(held: NonNullable<MembershipParts['held']>): Promise<void> {
    return this.#keep(this.#closing.signal, 'a seat among the analyzers', async () => {
      for (let seat = 0; seat < SEATS && !this.#closing.signal.aborted; seat += 1) {
        const { kind } = await this.#parts.alone(`${SEAT}${seat}`, async ({ signal }) => {
          const over = AbortSignal.any([signal, this.#closing.signal]);
          try {
            await Promise.all([this.#share(seat, held, over), this.#lead(over)]);
          } finally {
            this.#assign(null, false);
          }
        });
        if (kind !== 'done') continue;
        if (!this.#closing.signal.aborted) this.#parts.log.warn({ seat }, 'the seat was not renewed in time; asking for another');
        return;
      }
    });
  }

  async #share(seat: number, held: NonNullable<MembershipParts['held']>, over: AbortSignal): Promise<void> {
    let seen = '';
    while (!over.aborted) {
      try {
        const seats = seatsOf(await held(SEAT));
        const now = [...new Set([...seats, seat])].sort((a, b) => a - b);
        const isFirst = this.#shares === null;
        if (!over.aborted && (isFirst || now.join() === seen)) this.#assign(sharesOf(seat, now), this.#leads, now.length);
        seen = now.join();
      } catch (error) {
        if (!over.aborted) this.#parts.log.warn({ err: error }, 'failed to ask which analyzers are there; sharing with those of before');
      }
      await pause(this.#parts.lookMs ?? LOOK_MS, over);
    }
  }

  /** Leads as soon as nobody else does. */
  #lead(over: AbortSignal): Promise<void> {
    return this.#keep(over, 'the lead of the analyzers', async () => {
      await this.#parts.alone(LEADER, async ({ signal }) => {
        this.#assign(this.#shares, true);
        await aborted(AbortSignal.any([signal, over]));
        if (!over.aborted) this.#assign(this.#shares, false);
      });
    });
  }

  async #keep(over: AbortSignal, what: string, once: () => Promise<void>): Promise<void> {
    while (!over.aborted) {
      try {
        await once();
      } catch (error) {
        if (!over.aborted) this.#parts.log.warn({ err: error }, `failed to ask for ${what}; trying again`);
      }
      await pause(RETRY_MS, over);
    }
  }

  #assign(shares: ReadonlySet<number> | null, leads: boolean, analyzers = 1): void {
    const { log, onAssignment } = this.#parts;
    this.#shares = shares;
    this.#leads = leads;
    const assigned = shares === null ? '' : `${formatShares(shares)} ${leads}`;
    if (assigned === this.#assigned) return;
    this.#assigned = assigned;
    if (shares !== null) log.info({ shares: shares.size, leads, ...(analyzers > 1 ? { analyzers } : {}) }, 'analyzing sessions');
    onAssignment(shares === null ? null : { shares, leads });
  }
}

function seatsOf(names: readonly string[]): readonly number[] {
  return names.map((name) => Number(name.slice(SEAT.length))).filter((seat) => Number.isInteger(seat) && seat >= 0 && seat < SEATS);
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
