/** Messages between the node service and the thread that collects kernel events. */
import type { EventsWay, KernelGap } from '#schemas/kernel/orders.js';
import type { KernelEventClass } from '#schemas/policy/role.js';
import type { RingPlace } from '../probes/programs.js';
import type { SessionClock } from '../rows/rows.js';

export interface CollectorConfig {
  readonly ring: RingPlace;
  readonly totalsFd: number;
  readonly folder: string;
  readonly budget?: number;
  /** How long closing waits for ingest to take the rest, in ms; 1.5 s by default. */
  readonly closeMs?: number;
}

export interface BeginSession extends SessionClock {
  readonly number: number;
  readonly classes: readonly KernelEventClass[];
  readonly mode: 'best_effort' | 'strict';
  /** To the gateway that signs its rows; null: rows go to ingest. */
  readonly way: EventsWay | null;
}

/** Rows of one session that ingest refused for good. */
export interface LostRows {
  readonly session: string;
  readonly count: number;
  readonly first_ms: number;
  readonly last_ms: number;
  /** Whether ingest may accept a row reporting this; otherwise it does not know the session, or knows it on another node. */
  readonly storable: boolean;
}

export type ToCollector =
  | { readonly kind: 'begin'; readonly session: BeginSession }
  /** Read all pending records, and report missing ones. */
  | { readonly kind: 'settle'; readonly number: number; readonly ask: number }
  /** The channel is gone, so gaps go into the log from now on. */
  | { readonly kind: 'ended'; readonly number: number }
  /** `payload`: the batch's memory, given back unless that happened before. */
  | { readonly kind: 'stored'; readonly batch: string; readonly lost: readonly LostRows[]; readonly payload?: Uint8Array }
  /**
   * The rest of a batch waits for its sessions to become known and no longer counts as in flight. `payload`: its memory,
   * given back.
   */
  | { readonly kind: 'parked'; readonly batch: string; readonly payload: Uint8Array }
  | { readonly kind: 'close' };

export type FromCollector =
  | { readonly kind: 'gap'; readonly number: number; readonly gap: KernelGap }
  | { readonly kind: 'settled'; readonly ask: number }
  /**
   * Sign of life, sent every second. `sessions`: those with events since they were last listed; all their events up to
   * `boot_ns` (CLOCK_BOOTTIME) are in the log.
   */
  | { readonly kind: 'alive'; readonly sessions: readonly number[]; readonly boot_ns: number }
  /** The session's last process is gone and everything is in the log: the number may be reused. */
  | { readonly kind: 'finished'; readonly number: number }
  /** The receiver owns the memory of `payload` until it reports `stored`. With a `way`, all rows belong to one session. */
  | { readonly kind: 'batch'; readonly id: string; readonly payload: Uint8Array; readonly way: EventsWay | null }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly reason: string };
