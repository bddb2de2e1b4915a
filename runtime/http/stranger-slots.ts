/**
 * Who may be a stranger: the bound on connections that nobody has been admitted on yet, for every listener of Steno.
 *
 *     arrives ──below `start`, or the first of its source──► slot ──admitted──► free again, source known
 *        │                                                     └──closed, late, displaced──► free again
 *        ├──its source has `perSource` slots already──► refused
 *        ├──`start` to `full`, its source has some──► refused with a probability from `rate` % up to 100 %
 *        └──`full` slots taken──► takes the slot of a random connection of the source that has most, or is refused
 *                                 when that is its own
 *
 * The probability is that of sshd's `MaxStartups start:rate:full`, asked only of sources that hold a slot. What is new is
 * the last line: with early drop alone, whoever connects ten times as often as slots fall free keeps nine of ten others
 * out. Here a newcomer is let in at once while the strangers come from fewer than `full` sources; from more, it displaces
 * a random one. Sources are IPv4 addresses and /64s of IPv6 (`sourceKey`). A source on which somebody was admitted within
 * `KNOWN_MS` has `reserve` further slots that strangers cannot take; that memory is of this process, and bounded.
 *
 * Counts are logged and told once a minute, however many were turned away. Tested in stranger-slots.test.ts against a
 * model, and in gateway/ssh/server/strangers.test.ts with real connections.
 */
import { LRUCache } from 'lru-cache';
import { sourceKey } from '#schemas/base/ip-address.js';
import type { Log } from '../log.js';

export interface SlotLimits {
  /** Slots that anybody gets. */
  readonly start: number;
  /** Percent of those that are refused from there on. */
  readonly rate: number;
  /** Slots there are. */
  readonly full: number;
  /** Slots one source may hold. */
  readonly perSource: number;
  /** Slots beside `full`, for sources that are known. */
  readonly reserve: number;
}

export const defaultSlots: SlotLimits = { start: 60, rate: 30, full: 200, perSource: 20, reserve: 50 };

/** Of ports that services call, many of them at once from one machine: a gateway makes up to 64 connections to an authority. */
export const serviceSlots: SlotLimits = { start: 300, rate: 30, full: 600, perSource: 300, reserve: 300 };

const KNOWN_MS = 24 * 3_600_000;
const MAX_KNOWN = 10_000;
const REPORT_MS = 60_000;

export interface TurnedAway {
  /** New connections that got no slot. */
  readonly refused: number;
  /** Connections that lost theirs to a newcomer. */
  readonly displaced: number;
}

export interface SlotParts {
  /** Of [0, 1). */
  readonly random?: () => number;
  /** ms, monotonic or since 1970. */
  readonly now?: () => number;
  readonly log?: Log;
  /** Once a minute while somebody is turned away. */
  readonly report?: (counts: TurnedAway & { readonly sources: number }) => void;
}

export interface Slot {
  /** Somebody was admitted: the slot is free, and the source is known from now on. */
  admitted(): void;
  /** The connection is gone. Free where the slot is free already. */
  release(): void;
}

interface Held {
  readonly key: string;
  readonly reserved: boolean;
  readonly displace: () => void;
}

export type Verdict =
  { readonly kind: 'slot'; readonly reserved: boolean } | { readonly kind: 'displace'; readonly of: string } | { readonly kind: 'refuse' };

/** What is decided of one arrival: pure. `held`: slots of each source, of those that are not reserved. */
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
    // Who has as many as anybody gains nothing by displacing: else one source could churn through all slots. Where one may
    // hold all of them, sources say nothing, and chance decides.
    if (mine >= most && perSource < full) return { kind: 'refuse' };
    return { kind: 'displace', of: heaviest[Math.min(heaviest.length - 1, Math.floor(random * heaviest.length))]! };
  }
  if (taken < start || mine === 0) return { kind: 'slot', reserved: false };
  const chance = rate / 100 + ((1 - rate / 100) * (taken - start)) / Math.max(1, full - start);
  return random < chance ? { kind: 'refuse' } : { kind: 'slot', reserved: false };
}

export class StrangerSlots {
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

  /** Null: refused, close it. `displace` is called when somebody else gets the slot: closes the connection. */
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

  /** Slots that are taken now. */
  get size(): number {
    return this.#held.size;
  }

  /** Since the process started. */
  get turnedAway(): TurnedAway {
    return { ...this.#total };
  }

  /** Tells what is left to tell. */
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
