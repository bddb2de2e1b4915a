/** Rows of one session from the store, from a given place on, in the order in which a detector takes them. */
import type { EventRow, ScreenRow } from '#schemas/events/rows.js';
import type { EventSource } from '#schemas/events/kinds.js';
import type { EventStore } from '#stores/events/contract.js';
import { ROWS } from './row-place.js';
import type { RowPlace } from './row-place.js';

export type ReadStore = Pick<
  EventStore,
  'session' | 'events' | 'screenRows' | 'countKinds' | 'sessionsWithoutAudit' | 'findings' | 'insert'
>;

/** The sources with events of sessions. */
export const sessionSources = ['recording', 'kernel'] as const satisfies readonly EventSource[];

/** `after`: the place of the only emitter of this source; null: from the beginning. */
export async function* storedEvents(
  store: Pick<EventStore, 'events'>,
  session: string,
  source: EventSource,
  after: RowPlace | null,
): AsyncGenerator<readonly EventRow[]> {
  let cursor: string | undefined;
  do {
    const page = await store.events({
      session,
      source,
      order: 'session',
      limit: ROWS,
      ...(after === null ? {} : { after }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    yield page.rows;
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
}

export async function* storedScreen(
  store: Pick<EventStore, 'screenRows'>,
  session: string,
  after: RowPlace | null,
): AsyncGenerator<readonly ScreenRow[]> {
  let place = after;
  for (;;) {
    const rows = await store.screenRows(session, place, ROWS);
    yield rows;
    const last = rows.at(-1);
    if (rows.length < ROWS || last === undefined) return;
    place = { block: last.block, index: last.index };
  }
}
