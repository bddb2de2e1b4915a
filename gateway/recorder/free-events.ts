/**
 * Rows of events that belong to no session, such as requests to a Kubernetes API: who they are from is known to ingest, which of
 * them is which by the start of this process (`block`, seconds since 1970) and a number in it (`index`). A process takes longer to
 * start than a second, so no two have the same. Tested in recorder.test.ts and ../kube/proxy.test.ts.
 */
import type { RowKind } from '#runtime/uplink/event-queue.js';
import { freeRow } from '#schemas/events/free-rows.js';
import type { FreeRow } from '#schemas/events/free-rows.js';
import { noFacts } from '#schemas/events/rows.js';

/** What a front door knows of an event; what is left out is empty. */
export type FreeEvent = Pick<FreeRow, 'kind' | 'user' | 'outcome'> &
  Partial<Omit<FreeRow, 'source' | 'block' | 'index' | 'at' | 'offset_ms'>>;

const { raw_kind: _, ...nothing } = noFacts;

/** `startedAt`: ms since 1970. */
export function freeEventRows(startedAt: number): RowKind<FreeEvent> {
  const block = Math.floor(startedAt / 1000);
  let index = 0;
  const complete = (event: FreeEvent, now: number): FreeRow => ({
    ...nothing,
    node: '',
    login: '',
    ...event,
    source: 'kubernetes',
    block,
    index: index++,
    at: now,
    offset_ms: 0,
  });
  return {
    table: 'events',
    complete,
    isRow: (value) => freeRow.safeParse(value).success,
    dropped: (count, now) =>
      complete({ kind: 'gap', user: '', outcome: 'failure', name: 'events_dropped', reason: 'SPOOL_FULL', count }, now),
  };
}
