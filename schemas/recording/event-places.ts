/**
 * The order of rows in an event log. A row's position consists of the number of the node's log file and the row's index in
 * it; a node sends rows in order of position, and resends unacknowledged ones, so a row that does not follow the last one
 * was already taken. Tested in event-places.test.ts.
 */
export interface EventPlace {
  readonly block: number;
  readonly index: number;
}

/** The position given in a row's first two columns; null for anything else. */
export function eventPlace([block, index]: readonly unknown[]): EventPlace | null {
  return isPlaceNumber(block) && isPlaceNumber(index) ? { block, index } : null;
}

export function isAfter(place: EventPlace, last: EventPlace | null): boolean {
  return last === null || place.block > last.block || (place.block === last.block && place.index > last.index);
}

export class EventPlaces {
  last: EventPlace | null;

  constructor(last: EventPlace | null = null) {
    this.last = last;
  }

  /** Accepts the next row. False: it has no position, or does not follow the last one. */
  take(fields: readonly unknown[]): boolean {
    const place = eventPlace(fields);
    if (place === null || !isAfter(place, this.last)) return false;
    this.last = place;
    return true;
  }
}

function isPlaceNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
