/** What the node service and the thread that collects kernel events say to each other. */
import type { KernelGap } from '#schemas/kernel/orders.js';
import type { KernelEventClass } from '#schemas/policy/role.js';
import type { RingPlace } from '../probes/programs.js';
import type { SessionClock } from '../rows/rows.js';

export interface CollectorConfig {
  readonly ring: RingPlace;
  readonly totalsFd: number;
  readonly folder: string;
  readonly budget?: number;
  /** How long closing waits for ingest to take what is left, in ms; 1.5 s when left out. */
  readonly closeMs?: number;
}

export interface BeginSession extends SessionClock {
  readonly number: number;
  readonly classes: readonly KernelEventClass[];
  readonly mode: 'best_effort' | 'strict';
}

/** Rows of one session that ingest refused for good. */
export interface LostRows {
  readonly session: string;
  readonly count: number;
  readonly first_ms: number;
  readonly last_ms: number;
  /** Whether ingest may take a row that says so: else it knows no such session, or only on another node. */
  readonly storable: boolean;
}

export type ToCollector =
  | { readonly kind: 'begin'; readonly session: BeginSession }
  /** Read all that there is, and say what is missing. */
  | { readonly kind: 'settle'; readonly number: number; readonly ask: number }
  /** Nobody is there any more to report gaps to: they go into the log. */
  | { readonly kind: 'ended'; readonly number: number }
  /** `payload`: the batch's memory, given back unless it was before. */
  | { readonly kind: 'stored'; readonly batch: string; readonly lost: readonly LostRows[]; readonly payload?: Uint8Array }
  /** What is left of a batch waits for its sessions to be known, beside those under way. `payload`: its memory, given back. */
  | { readonly kind: 'parked'; readonly batch: string; readonly payload: Uint8Array }
  | { readonly kind: 'close' };

export type FromCollector =
  | { readonly kind: 'gap'; readonly number: number; readonly gap: KernelGap }
  | { readonly kind: 'settled'; readonly ask: number }
  /**
   * The thread runs: said each second. Of `sessions`, which had events since this was last said of them, all until `boot_ns` of
   * CLOCK_BOOTTIME are in the log.
   */
  | { readonly kind: 'alive'; readonly sessions: readonly number[]; readonly boot_ns: number }
  /** Its last process is gone, and everything is in the log: the number may be used again. */
  | { readonly kind: 'finished'; readonly number: number }
  /** The memory of `payload` is the receiver's until it says `stored`. */
  | { readonly kind: 'batch'; readonly id: string; readonly payload: Uint8Array }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly reason: string };
