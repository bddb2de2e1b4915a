/**
 * The occurrences of one group, and the moments at which the correlation holds. Occurrences may arrive in any order; each is inserted
 * in its place, and only moments whose window contains it are decided again. Tested in detector.test.ts.
 */
import type { CorrelationPlan } from '../sigma/correlation-plan.js';
import { bucketOf } from './occurrence.js';
import type { Occurrence } from './occurrence.js';
import { decide } from './window.js';

/** An occurrence that is at most this much behind those that arrived before it still finds everything that its windows need. */
export const LEAST_LATENESS = 60_000;
/** Limit of moments that one late occurrence causes to be decided again, for types that examine each occurrence of the window. */
const MAX_REDONE = 64;
/** A window with fewer items is not pruned. */
const TIDY = 64;
/** Retention is measured from the earliest of the last few arrivals, so that one clock that jumps ahead discards nothing. */
const RECENT = 8;

export interface Holding {
  readonly at: number;
  readonly figure: number;
  readonly window: readonly Occurrence[];
  /** False: the firing matters only to an outer correlation that counts it. */
  readonly isFirst: boolean;
}

export interface Counters {
  /** Occurrences that arrived more than once. */
  repeated: number;
  /** Occurrences that were dropped because too many were held. */
  forgotten: number;
  /** Occurrences that arrived after their moments were decided. */
  late: number;
  /** Moments that were not decided again. */
  skipped: number;
}

export class GroupWindow {
  readonly items: Occurrence[] = [];
  readonly #plan: CorrelationPlan;
  readonly #span: number;
  readonly #feeds: boolean;
  readonly #most: number;
  readonly #counters: Counters;
  /** The first moment of each calendar time span. */
  readonly #first = new Map<number, number>();
  readonly #recent: number[] = [];
  #arrivals = 0;

  constructor(plan: CorrelationPlan, feeds: boolean, most: number, counters: Counters) {
    this.#plan = plan;
    this.#span = plan.rule.correlation.timespan.ms;
    this.#feeds = feeds;
    this.#most = most;
    this.#counters = counters;
  }

  /** Returns false if the occurrence is there already. */
  insert(occurrence: Occurrence): boolean {
    const place = this.#placeOf(occurrence);
    const there = this.items[place];
    if (there !== undefined && there.at === occurrence.at && there.key === occurrence.key) return false;
    if (place === this.items.length) this.items.push(occurrence);
    else this.items.splice(place, 0, occurrence);
    this.#recent[this.#arrivals++ % RECENT] = occurrence.at;
    if (this.items.length > TIDY) this.#tidy();
    return true;
  }

  /** Decides the moments whose windows contain the inserted occurrence. */
  after(occurrence: Occurrence): readonly Holding[] {
    const found: Holding[] = [];
    const isCheap = this.#plan.rule.correlation.type === 'event_count';
    let redone = 0;
    for (let i = this.#firstAt(occurrence.at); i < this.items.length && this.items[i]!.at < occurrence.at + this.#span; i += 1) {
      const { at } = this.items[i]!;
      if (this.items[i + 1]?.at === at) continue;
      if (!this.#feeds && (this.#first.get(bucketOf(this.#plan, at)) ?? Infinity) < at) continue;
      redone += 1;
      if (!isCheap && redone > MAX_REDONE) {
        this.#counters.skipped += 1;
        break;
      }
      found.push(...this.#decide(at, i + 1));
    }
    return found;
  }

  at(moment: number): readonly Holding[] {
    const to = this.#firstAt(moment + 1);
    return this.items[to - 1]?.at === moment ? this.#decide(moment, to) : [];
  }

  #decide(at: number, to: number): readonly Holding[] {
    const from = this.#firstAt(at - this.#span + 1);
    const verdict = decide(this.#plan, this.items, from, to);
    if (verdict === null) return [];
    const bucket = bucketOf(this.#plan, at);
    const isFirst = (this.#first.get(bucket) ?? Infinity) >= at;
    if (isFirst) this.#remember(bucket, at);
    if (!isFirst && !this.#feeds) return [];
    return [{ at, figure: verdict.figure, window: this.items.slice(from, to), isFirst }];
  }

  #remember(bucket: number, at: number): void {
    this.#first.set(bucket, at);
    // Nothing older than ten spans is kept, so those moments cannot be decided again.
    if (this.#first.size > 10) this.#first.delete(Math.min(...this.#first.keys()));
  }

  #tidy(): void {
    const oldest = Math.min(...this.#recent) - this.#span - Math.max(this.#span, LEAST_LATENESS);
    const over = this.#firstAt(oldest);
    // Each removal moves the array: do not do it for a few items.
    if (over > this.items.length / 4) this.items.splice(0, over);
    if (this.items.length <= this.#most) return;
    const dropped = this.items.length - Math.floor((this.#most * 7) / 8);
    this.items.splice(0, dropped);
    this.#counters.forgotten += dropped;
  }

  /** Index of the first occurrence at or after this moment. */
  #firstAt(moment: number): number {
    return this.#search((item) => item.at >= moment);
  }

  #placeOf({ at, key }: Occurrence): number {
    return this.#search((item) => item.at > at || (item.at === at && item.key >= key));
  }

  #search(isBehind: (item: Occurrence) => boolean): number {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBehind(this.items[middle]!)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
