/**
 * Limits strangers, that is, connections on which nobody has been admitted yet; used by every listener of Steno.
 *
 *     arrives ──below `start`, or the first of its source──► slot ──admitted──► free again, source known
 *        │                                                     └──closed, late, displaced──► free again
 *        ├──its source has `perSource` slots already──► refused
 *        ├──`start` to `full`, its source has some──► refused with a probability from `rate` % up to 100 %
 *        └──`full` slots taken──► takes the slot of a random connection of the source with most slots, or is
 *                                 refused if that is its own source
 *
 * The probability is that of sshd's `MaxStartups start:rate:full`, applied only to sources that hold a slot. The last line
 * goes beyond sshd: with early drop alone, a client that connects ten times as often as slots become free keeps nine of ten
 * others out. Here a new source gets a slot at once while the strangers come from fewer than `full` sources; with more
 * sources, it displaces a random connection. Sources are IPv4 addresses and /64s of IPv6 (`sourceKey`). A source from which
 * somebody was admitted within `KNOWN_MS` may use `reserve` further slots that strangers cannot take; known sources are
 * remembered per process, up to a limit.
 *
 * Counts are logged and reported once a minute, however many connections were turned away. Tested in stranger-slots.test.ts
 * against a model, and in gateway/ssh/server/strangers.test.ts with real connections.
 */
import type { Socket } from 'node:net';
import { LRUCache } from 'lru-cache';
import { sourceKey } from '#schemas/base/ip-address.js';
import type { Log } from '../log.js';

export interface SlotLimits {
  /** Slots given unconditionally. */
  readonly start: number;
  /** Percentage refused from `start` on. */
  readonly rate: number;
  /** Total number of slots. */
  readonly full: number;
  /** Slots per source. */
  readonly perSource: number;
  /** Slots in addition to `full`, for known sources. */
  readonly reserve: number;
}

export const defaultSlots: SlotLimits = { start: 60, rate: 30, full: 200, perSource: 20, reserve: 50 };

/**
 * For ports that services call, often many times at once from one machine: a gateway makes up to 64 connections to an
 * authority.
 */
export const serviceSlots: SlotLimits = { start: 300, rate: 30, full: 600, perSource: 300, reserve: 300 };

const KNOWN_MS = 24 * 3_600_000;
const MAX_KNOWN = 10_000;
const REPORT_MS = 60_000;

export interface TurnedAway {
  /** New connections that got no slot. */
  readonly refused: number;
  /** Connections that lost their slot to a newer one. */
  readonly displaced: number;
}

export interface SlotParts {
  /** In the range [0, 1). */
  readonly random?: () => number;
  /** ms, monotonic or since 1970. */
  readonly now?: () => number;
  readonly log?: Log;
  /** Called once a minute while connections are turned away. */
  readonly report?: (counts: TurnedAway & { readonly sources: number }) => void;
}

export interface Slot {
  /** Somebody was admitted: frees the slot, and marks the source as known. */
  admitted(): void;
  /** The connection closed. Does nothing if the slot is already free. */
  release(): void;
}

/** Gives slots to connections as they arrive: `StrangerSlots`, or a process that counts for several. */
export interface SlotSource {
  /** Null: refused, close the connection. `displace` closes it; called when another one gets its slot. */
  take(address: string, displace: () => void, socket: Socket): Slot | null;
}

interface Held {
  readonly key: string;
  readonly reserved: boolean;
  readonly displace: () => void;
}

export type Verdict =
  { readonly kind: 'slot'; readonly reserved: boolean } | { readonly kind: 'displace'; readonly of: string } | { readonly kind: 'refuse' };

/** Decides one arrival; pure. `held`: unreserved slots per source. */
export function decideSlot(
  limits: SlotLimits,
  state: {
    readonly held: ReadonlyMap<string, number>;
    readonly taken: number;
    readonly reserved: number;
    readonly own: number;
    readonly known: boolean;
  },
  key: string,
  random: number,
): Verdict {
  const { start, rate, full, perSource, reserve } = limits;
  const { held, taken, reserved, own, known } = state;
  if (own >= perSource) return { kind: 'refuse' };
  if (known && reserved < reserve) return { kind: 'slot', reserved: true };
  const mine = held.get(key) ?? 0;
  if (taken >= full) {
    let most = 0;
    let heaviest: string[] = [];
    for (const [source, count] of held) {
      if (count > most) [most, heaviest] = [count, []];
      if (count === most) heaviest.push(source);
    }
    // A source with the most slots must not displace, or it could churn through all of them. If one source may hold all
    // slots, sources tell nothing, and chance decides.
    if (mine >= most && perSource < full) return { kind: 'refuse' };
    return { kind: 'displace', of: heaviest[Math.min(heaviest.length - 1, Math.floor(random * heaviest.length))]! };
  }
  if (taken < start || mine === 0) return { kind: 'slot', reserved: false };
  const chance = rate / 100 + ((1 - rate / 100) * (taken - start)) / Math.max(1, full - start);
  return random < chance ? { kind: 'refuse' } : { kind: 'slot', reserved: false };
}

export class StrangerSlots implements SlotSource {
  readonly #limits: SlotLimits;
  readonly #random: () => number;
  readonly #parts: SlotParts;
  readonly #held = new Set<Held>();
  readonly #counts = new Map<string, number>();
  readonly #own = new Map<string, number>();
  #reserved = 0;
  readonly #known: LRUCache<string, true>;
  readonly #total = { refused: 0, displaced: 0 };
  #minute = { refused: 0, displaced: 0, sources: new Set<string>() };
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: SlotLimits = defaultSlots, parts: SlotParts = {}) {
    this.#limits = limits;
    this.#parts = parts;
    this.#random = parts.random ?? Math.random;
    this.#known = new LRUCache({ max: MAX_KNOWN, ttl: KNOWN_MS, ttlResolution: 0, perf: { now: parts.now ?? (() => performance.now()) } });
  }

  /** Null: refused, close the connection. `displace` closes the connection; called when another one gets its slot. */
  take(address: string, displace: () => void): Slot | null {
    const key = sourceKey(address);
    const random = this.#random();
    const verdict = decideSlot(
      this.#limits,
      {
        held: this.#counts,
        taken: this.#held.size - this.#reserved,
        reserved: this.#reserved,
        own: this.#own.get(key) ?? 0,
        known: this.#known.has(key),
      },
      key,
      random,
    );
    if (verdict.kind === 'refuse') {
      this.#turnedAway('refused', key);
      return null;
    }
    if (verdict.kind === 'displace') {
      const of = [...this.#held].filter((held) => held.key === verdict.of && !held.reserved);
      const victim = of[Math.min(of.length - 1, Math.floor(this.#random() * of.length))]!;
      this.#free(victim);
      this.#turnedAway('displaced', verdict.of);
      victim.displace();
    }
    const held: Held = { key, reserved: verdict.kind === 'slot' && verdict.reserved, displace };
    this.#held.add(held);
    add(this.#own, key, 1);
    if (held.reserved) this.#reserved++;
    else add(this.#counts, key, 1);
    return {
      admitted: () => {
        this.#known.set(key, true);
        this.#free(held);
      },
      release: () => this.#free(held),
    };
  }

  /** Slots in use. */
  get size(): number {
    return this.#held.size;
  }

  /** Counts since the process started. */
  get turnedAway(): TurnedAway {
    return { ...this.#total };
  }

  /** Reports the remaining counts. */
  close(): void {
    this.#report();
  }

  #free(held: Held): void {
    if (!this.#held.delete(held)) return;
    add(this.#own, held.key, -1);
    if (held.reserved) this.#reserved--;
    else add(this.#counts, held.key, -1);
  }

  #turnedAway(kind: keyof TurnedAway, key: string): void {
    this.#total[kind]++;
    this.#minute[kind]++;
    if (this.#minute.sources.size < MAX_KNOWN) this.#minute.sources.add(key);
    this.#timer ??= setTimeout(() => this.#report(), REPORT_MS).unref();
  }

  #report(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { refused, displaced, sources } = this.#minute;
    if (refused + displaced === 0) return;
    this.#minute = { refused: 0, displaced: 0, sources: new Set() };
    const counts = { refused, displaced, sources: sources.size };
    this.#parts.log?.warn(counts, 'connections were turned away before admission: too many strangers');
    this.#parts.report?.(counts);
  }
}

function add(counts: Map<string, number>, key: string, more: number): void {
  const count = (counts.get(key) ?? 0) + more;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
