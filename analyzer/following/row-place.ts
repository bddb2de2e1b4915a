/** The position of a row in its stream, and how far each stream of a session has been taken. Tested in follower.test.ts. */
import type { EventRow, ScreenRow } from '#schemas/events/rows.js';

/** Rows per read of the store. */
export const ROWS = 1_000;

export interface RowPlace {
  readonly block: number;
  readonly index: number;
}

interface Place {
  block: number;
  index: number;
}

export class StreamPlaces {
  /** By source and emitter: looked up for each row, so the two are not joined into one key. */
  readonly #events = new Map<string, Map<string, Place>>();
  #screen: Place | null = null;

  get screen(): RowPlace | null {
    return this.#screen === null ? null : { ...this.#screen };
  }

  /** The position of the only emitter of a source; null if there is none, or more than one. */
  ofOnly(source: string): RowPlace | null {
    const emitters = this.#events.get(source);
    if (emitters?.size !== 1) return null;
    const [place] = emitters.values();
    return { ...place! };
  }

  /** Whether a row comes after everything taken from its stream. */
  isBehind(row: EventRow | ScreenRow): boolean {
    return isAfter(row, 'source' in row ? this.#events.get(row.source)?.get(row.emitter) : this.#screen);
  }

  /** Returns false for a row that does not come after the last one of its stream. */
  takeEvent({ source, emitter, block, index }: EventRow): boolean {
    let emitters = this.#events.get(source);
    if (emitters === undefined) this.#events.set(source, (emitters = new Map<string, Place>()));
    const place = emitters.get(emitter);
    if (place === undefined) emitters.set(emitter, { block, index });
    else {
      if (!isAfter({ block, index }, place)) return false;
      place.block = block;
      place.index = index;
    }
    return true;
  }

  takeScreen({ block, index }: ScreenRow): boolean {
    if (!isAfter({ block, index }, this.#screen)) return false;
    this.#screen = { block, index };
    return true;
  }
}

function isAfter({ block, index }: RowPlace, last: RowPlace | null | undefined): boolean {
  return last === null || last === undefined || block > last.block || (block === last.block && index > last.index);
}
