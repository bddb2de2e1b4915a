/** Recordings as ingest leaves them: with the rows that are derived from their lines, and the kernel events of a node beside them. */
import { Projection } from '#recordings/derive/projection.js';
import { BlockReader } from '#recordings/read/block-reader.js';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { record } from './recorded.js';
import type { Recorded, RecordedOptions, Stores } from './recorded.js';

export interface KernelRowOptions extends Partial<Omit<EventRow, 'data'>> {
  readonly kind: EventRow['kind'];
  readonly offset_ms: number;
  readonly data?: Readonly<Record<string, unknown>>;
}

export async function replayed(
  stores: Stores,
  options: Omit<RecordedOptions, 'screen' | 'events'>,
  kernel: readonly KernelRowOptions[] = [],
): Promise<Recorded> {
  const recorded = await record(stores, options);
  const { id, startedAt, row } = recorded;
  const reader = new BlockReader();
  let projection: Projection | null = null;
  for (const { n, lines } of recorded.blocks) {
    const block = reader.read(Buffer.from(lines));
    projection ??= new Projection(block.header!);
    const { screen, events } = projection.block(block);
    await insert(stores, `${id}:${n}`, { screen, events });
  }
  if (projection !== null) {
    await insert(stores, `${id}:end`, projection.finish());
    projection.dispose();
  }
  const { user, node, login } = row;
  const rows = kernel.map(({ data = {}, ...given }, index): EventRow => ({
    ...{ session: id, source: 'kernel', emitter: `agent/${node}`, block: 1, index, user, node, login, ...noFacts },
    ...{ at: startedAt + given.offset_ms, outcome: 'success', ...given, data: JSON.stringify(data) },
  }));
  for (let from = 0; from < rows.length; from += 10_000)
    await stores.events.insert('events', rows.slice(from, from + 10_000), `${id}:kernel:${from}`);
  return recorded;
}

async function insert(
  { events: store }: Stores,
  token: string,
  { screen, events }: Pick<ReturnType<Projection['block']>, 'screen' | 'events'>,
): Promise<void> {
  if (screen.length > 0) await store.insert('screen', screen, `${token}:screen`);
  if (events.length > 0) await store.insert('events', events, `${token}:events`);
}
