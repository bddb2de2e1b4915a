/**
 * Programs that ran before a session, by SHA-256: on its node by path, and on any node. The history ends at the same midnight as for
 * baselines (../baselines/history.ts), so rows stored later change no earlier answer. The window is 90 days.
 *
 * Read once per day for each node, and for the fleet. Tested in detector.test.ts.
 */
import { LRUCache } from 'lru-cache';
import type { SessionRow } from '#schemas/events/rows.js';
import type { EventStore } from '#stores/events/contract.js';
import { formatMoment } from '#stores/events/engine/columns.js';
import { literal } from '#stores/events/queries/visible.js';
import { DAYS, untilOf } from '../baselines/history.js';

/** If there are more, a program that is missing does not count as new. */
export const MAX_PROGRAMS = 50_000;
const DAY = 86_400_000;

export interface KnownSoftware {
  /** The last SHA-256 of each path on the node. */
  readonly node: ReadonlyMap<string, string>;
  /** SHA-256 values on any node. */
  readonly fleet: ReadonlySet<string>;
  /** False: some programs are omitted here. */
  readonly whole: boolean;
}

type Store = Pick<EventStore, 'scan'>;

export class StoredSoftware {
  readonly #store: Store;
  readonly #nodes = new LRUCache<string, Promise<readonly (readonly unknown[])[]>>({ max: 200 });
  readonly #fleets = new LRUCache<string, Promise<readonly (readonly unknown[])[]>>({ max: 4 });

  constructor(store: Store) {
    this.#store = store;
  }

  async before(session: SessionRow): Promise<KnownSoftware> {
    const until = untilOf(session);
    const moment = (at: number): string => `toDateTime64(${literal(formatMoment(Math.max(0, at)))}, 3, 'UTC')`;
    const hashed = `FROM events WHERE source = 'kernel' AND sha256 != '' AND NOT (kind = 'file' AND name = 'content') AND at >= ${moment(until - DAYS * DAY)} AND at < ${moment(until)}`;
    const node = `SELECT path, argMax(sha256, (at, sha256)) ${hashed} AND node = ${literal(session.node)} GROUP BY path ORDER BY path LIMIT ${MAX_PROGRAMS + 1}`;
    const fleet = `SELECT sha256 ${hashed} GROUP BY sha256 ORDER BY sha256 LIMIT ${MAX_PROGRAMS + 1}`;
    const [paths, hashes] = await Promise.all([
      this.#kept(this.#nodes, `${until} ${session.node}`, node),
      this.#kept(this.#fleets, String(until), fleet),
    ]);
    return {
      node: new Map(paths.map(([path, sha256]) => [String(path), String(sha256)])),
      fleet: new Set(hashes.map(([sha256]) => String(sha256))),
      whole: paths.length <= MAX_PROGRAMS && hashes.length <= MAX_PROGRAMS,
    };
  }

  /** Failures are not cached: the next session tries again. */
  #kept<T extends readonly (readonly unknown[])[]>(cache: LRUCache<string, Promise<T>>, key: string, sql: string): Promise<T> {
    const known = cache.get(key);
    if (known !== undefined) return known;
    const reading = this.#store.scan(sql) as Promise<T>;
    cache.set(key, reading);
    reading.catch(() => cache.delete(key));
    return reading;
  }
}
