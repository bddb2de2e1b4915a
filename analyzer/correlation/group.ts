/**
 * The occurrences of one group, and at which moments the correlation holds. Occurrences arrive in any order; each is inserted in its place,
 * and only moments whose window it is in are decided again. Tested in detector.test.ts.
 */
import type { CorrelationPlan } from '../sigma/correlation-plan.js';
import { bucketOf } from './occurrence.js';
import type { Occurrence } from './occurrence.js';
import { decide } from './window.js';

/** An occurrence this much behind those that arrived before it still finds everything that its windows need. */
export const LEAST_LATENESS = 60_000;
/** Moments that one late occurrence has decided again, for types that look at each occurrence of the window. */
const MAX_REDONE = 64;
/** A window is not tidied before it has this many. */
const TIDY = 64;
/** What is kept is measured from the earliest of the last few arrivals, so that one clock that jumps ahead throws nothing away. */
const RECENT = 8;

export interface Holding {
  readonly at: number;
  readonly figure: number;
  readonly window: readonly Occurrence[];
  /** False: nothing but what an outer correlation counts. */
  readonly isFirst: boolean;
}

export interface Counters {
  /** The same occurrence again. */
  repeated: number;
  /** Occurrences that were dropped because too many were kept. */
  forgotten: number;
  /** Arrived after what they belong to was decided. */
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
  /** The first moment of each time span of the calendar. */
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

  /** False: it is there already. */
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

  /** Decides the moments whose windows the occurrence is in, which has been inserted. */
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
    // Ten spans back nothing is kept that could be decided again.
    if (this.#first.size > 10) this.#first.delete(Math.min(...this.#first.keys()));
  }

  #tidy(): void {
    const oldest = Math.min(...this.#recent) - this.#span - Math.max(this.#span, LEAST_LATENESS);
    const over = this.#firstAt(oldest);
    // An array is moved for each removal: never for a few.
    if (over > this.items.length / 4) this.items.splice(0, over);
    if (this.items.length <= this.#most) return;
    const dropped = this.items.length - Math.floor((this.#most * 7) / 8);
    this.items.splice(0, dropped);
    this.#counters.forgotten += dropped;
  }

  /** The first with this moment, or behind. */
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
