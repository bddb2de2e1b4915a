/**
 * Runs detectors that look across sessions: opened once, and given every session's observations.
 *
 *     opened ──rows of the last `memory` read from the store, in the order of their moments──► given everything that arrives
 *
 * Detectors that name kinds of events get the sessionless events of those kinds: all of them, including those that the feeds missed
 * (`missed`), some perhaps twice.
 *
 * Observations that arrive during the start are held, at most `MAX_HELD`. A row can be delivered again (after a restart, by a replay):
 * these detectors count rows with the same place once. Tested in across-run.test.ts.
 */
import type { EventKind } from '#schemas/events/kinds.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { EventQuery, EventStore } from '#stores/events/contract.js';
import type { Detector, Observation, SessionDetector } from '../detection/detector.js';
import { LoginRowsOfSessions } from './logins.js';
import { Found } from './found.js';
import type { RunParts } from './found.js';

const MAX_HELD = 100_000;
/** Limit of past rows read at a start. */
const MAX_HISTORY = 200_000;
const PAGE = 1_000;
/** A node sends events as soon as it can; after an interruption of the feed, this much of the past is read again for events stored late. */
const MISSED_MS = 86_400_000;
const MAX_REMEMBERED = 100_000;

export interface AcrossParts extends RunParts {
  readonly store: Pick<EventStore, 'events'>;
  readonly clock: () => number;
}

export class AcrossRun {
  readonly #parts: AcrossParts;
  readonly #found = new Found(MAX_REMEMBERED, { forgets: true });
  #detectors: { readonly name: string; readonly detector: SessionDetector; readonly kinds: ReadonlySet<EventKind> | null }[] = [];
  #held: Observation[] | null = [];
  #dropped = 0;
  #closed = false;

  constructor(parts: AcrossParts) {
    this.#parts = parts;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Observations and past rows that were omitted. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Observations are ignored from now on. */
  close(): void {
    this.#closed = true;
    this.#held = [];
    this.#detectors = [];
  }

  take(observation: Observation): void {
    if (this.#closed || this.#parts.detectors.length === 0) return;
    if (this.#held === null) this.#observe(observation);
    else if (this.#held.length < MAX_HELD) this.#held.push(observation);
    else this.#dropped += 1;
  }

  /** Resolves when the past has been read. Rejects as the store does; it may then be called again. */
  async begin(): Promise<void> {
    const { detectors, clock, onFault } = this.#parts;
    if (detectors.length === 0) {
      this.#held = null;
      return;
    }
    const memory = Math.max(0, ...detectors.map((one) => (kindsOf(one) === null && one.scope.kind === 'across' ? one.scope.memory : 0)));
    const past = memory === 0 ? [] : await this.#past({ from: Math.max(0, clock() - memory) });
    const ofKinds = await this.#ofKinds(Infinity);
    if (this.#closed) return;
    for (const one of detectors) {
      const kinds = kindsOf(one);
      try {
        this.#detectors.push({ name: one.name, detector: await one.open(null), kinds: kinds === null ? null : new Set(kinds) });
      } catch (error) {
        onFault(one.name, error);
      }
    }
    const logins = new LoginRowsOfSessions();
    for (const row of past) if (!logins.take(row)) this.#observe({ kind: 'event', row }, 'all');
    for (const row of ofKinds) this.#observe({ kind: 'event', row }, 'of kinds');
    const held = this.#held ?? [];
    this.#held = null;
    for (const observation of held) this.#observe(observation);
  }

  /** Called when a feed is connected again: reads the events that the feed missed. */
  async missed(): Promise<void> {
    if (this.#held !== null) return;
    for (const row of await this.#ofKinds(MISSED_MS)) this.#observe({ kind: 'event', row }, 'of kinds');
  }

  /** Events of the last `most` ms, limited to the detectors' memory. */
  async #ofKinds(most: number): Promise<readonly EventRow[]> {
    const { detectors, clock } = this.#parts;
    const named = detectors.filter((one) => kindsOf(one) !== null);
    if (named.length === 0) return [];
    const memory = Math.max(...named.map(({ scope }) => (scope.kind === 'across' ? scope.memory : 0)));
    const kinds = [...new Set(named.flatMap((one) => kindsOf(one) ?? []))];
    return this.#past({ from: Math.max(0, clock() - Math.min(memory, most)), kinds, session: '' });
  }

  async #past(query: EventQuery): Promise<readonly EventRow[]> {
    const rows: EventRow[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.#parts.store.events({ ...query, limit: PAGE, ...(cursor === undefined ? {} : { cursor }) });
      rows.push(...page.rows);
      cursor = page.next ?? undefined;
    } while (cursor !== undefined && rows.length < MAX_HISTORY && !this.#closed);
    if (cursor !== undefined) this.#dropped += 1;
    return rows.reverse();
  }

  /** `to`: which detectors get the observation. */
  #observe(observation: Observation, to: 'each' | 'all' | 'of kinds' = 'each'): void {
    for (const one of [...this.#detectors]) {
      if (one.kinds === null ? to === 'of kinds' : to === 'all' || !isOf(observation, one.kinds)) continue;
      try {
        for (const detection of one.detector.take(observation)) this.#found.take(detection, this.#parts);
      } catch (error) {
        this.#detectors = this.#detectors.filter((other) => other !== one);
        this.#parts.onFault(one.name, error);
      }
    }
  }
}

function kindsOf({ scope }: Detector): readonly EventKind[] | null {
  return scope.kind === 'across' ? (scope.kinds ?? null) : null;
}

function isOf(observation: Observation, kinds: ReadonlySet<EventKind>): boolean {
  return observation.kind === 'event' && observation.row.session === '' && kinds.has(observation.row.kind);
}
