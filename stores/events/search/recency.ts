/**
 * From which moment on the newest rows are looked for first, and how far the store reaches.
 *
 * A search that finds much needs only the newest hits, so it is first asked about the newest part of the store. A moment is only a
 * guess of where that part begins, from the sessions that there are: whether enough was found there decides if the rest is read.
 * Tested in search.test.ts.
 */
import type { SearchExpression } from '#schemas/search/expression.js';
import type { Engine } from '../engine/engine.js';
import { readSettings } from '../queries/paging.js';

/** The part of the store that is read first. */
export const NEWEST_PART = 1 / 32;
/** Moments that are known of the whole. */
const LEVELS = 256;
/** A store with fewer rows in its largest table is read as a whole. */
const LARGE_ROWS = 2_000_000;
const KNOWN_MS = 60_000;

export class Recency {
  readonly #engine: Engine;
  readonly #largeRows: number;
  readonly #clock: () => number;
  #known: Promise<readonly number[]> | undefined;
  #at = 0;

  constructor(engine: Engine, largeRows = LARGE_ROWS, clock = () => performance.now()) {
    this.#engine = engine;
    this.#largeRows = largeRows;
    this.#clock = clock;
  }

  /**
   * Where the newest part begins, of what is before a moment. `part`: of the whole, up to a half. Undefined: there is no part, everything is
   * read at once.
   */
  async start(expression: SearchExpression, before: number | undefined, part = NEWEST_PART): Promise<number | undefined> {
    const bounds = boundsOf(expression);
    if (bounds.narrow || part > 1 / 2) return undefined;
    const moments = await this.#moments();
    const end = Math.min(before ?? Infinity, bounds.to);
    const older = moments.filter((moment) => moment <= end).length;
    const start = moments[Math.floor(older - Math.max(1, older * part))];
    return start === undefined || start <= bounds.from ? undefined : start;
  }

  /** In which time a search can find anything, roughly. Undefined: nothing is known. */
  async span(expression: SearchExpression): Promise<{ readonly from: number; readonly to: number } | undefined> {
    const moments = await this.#moments();
    const [first, last] = [moments[0], moments.at(-1)];
    if (first === undefined || last === undefined) return undefined;
    const { from, to } = boundsOf(expression);
    return from <= last && to >= first ? { from: Math.max(first, from), to: Math.min(last, to) } : undefined;
  }

  #moments(): Promise<readonly number[]> {
    const now = this.#clock();
    if (this.#known === undefined || now - this.#at > KNOWN_MS) {
      const read = this.#read();
      this.#known = read;
      this.#at = now;
      read.catch(() => {
        if (this.#known === read) this.#known = undefined;
      });
    }
    return this.#known;
  }

  async #read(): Promise<readonly number[]> {
    const [row] = await this.#engine.read(
      `SELECT (SELECT max(total_rows) FROM system.tables WHERE database = currentDatabase() AND name IN ('screen', 'events')), ` +
        `arrayMap(x -> toUnixTimestamp64Milli(x), quantilesExactWeighted(${Array.from({ length: LEVELS }, (_, i) => i / LEVELS).join(', ')})(started_at, blocks + 1)) ` +
        `FROM sessions ${readSettings('search_recency')}`,
      {},
    );
    if (row === undefined || Number(row[0]) < this.#largeRows) return [];
    return (row[1] as readonly unknown[]).map(Number);
  }
}

interface Bounds {
  /** Rows of one session. */
  readonly narrow: boolean;
  readonly from: number;
  readonly to: number;
}

function boundsOf(expression: SearchExpression): Bounds {
  const none: Bounds = { narrow: false, from: -Infinity, to: Infinity };
  switch (expression.kind) {
    case 'all': {
      const all = [none, ...expression.of.map(boundsOf)];
      return {
        narrow: all.some(({ narrow }) => narrow),
        from: Math.max(...all.map(({ from }) => from)),
        to: Math.min(...all.map(({ to }) => to)),
      };
    }
    case 'field': {
      const { field, match } = expression;
      if (field === 'session') return { ...none, narrow: true };
      if (match.kind !== 'range' || (field !== 'after' && field !== 'before' && field !== 'during')) return none;
      return { ...none, from: match.from ?? -Infinity, to: match.to ?? Infinity };
    }
    case 'any':
    case 'not':
    case 'text':
      return none;
  }
}
