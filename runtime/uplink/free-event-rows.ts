/**
 * Rows for events that belong to no session, such as requests to a Kubernetes API and logins on a node. Ingest knows the sender; an
 * event is identified by this process's start time (`block`, seconds since 1970) and a counter (`index`). Starting a process takes
 * more than a second, so no two events share an identity. Tested in gateway/recorder/recorder.test.ts,
 * gateway/kube/proxy.test.ts and agent/bypass/login-watch.test.ts.
 */
import { freeRow } from '#schemas/events/free-rows.js';
import type { FreeRow } from '#schemas/events/free-rows.js';
import type { EventSource } from '#schemas/events/kinds.js';
import { noFacts } from '#schemas/events/rows.js';
import type { RowKind } from './event-queue.js';

/** The fields of an event that its sender fills in; omitted fields are empty. `at`: ms since 1970, by default now. */
export type FreeEvent = Pick<FreeRow, 'kind' | 'user' | 'outcome'> & Partial<Omit<FreeRow, 'source' | 'block' | 'index' | 'offset_ms'>>;

const { raw_kind: _, ...nothing } = noFacts;

/** `startedAt`: ms since 1970. `node`: the node of rows that name none. */
export function freeEventRows(startedAt: number, source: EventSource = 'kubernetes', node = ''): RowKind<FreeEvent> {
  const block = Math.floor(startedAt / 1000);
  let index = 0;
  const complete = (event: FreeEvent, now: number): FreeRow => ({
    ...nothing,
    node,
    login: '',
    at: now,
    ...event,
    source,
    block,
    index: index++,
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
