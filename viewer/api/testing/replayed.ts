/** Recordings as ingest leaves them: with the rows derived from their lines, and kernel events of a node. */
import { Projection } from '#recordings/derive/projection.js';
import type { Rows } from '#recordings/derive/projection.js';
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
  const made: Rows[] = [];
  for (const { lines } of recorded.blocks) {
    const block = reader.read(Buffer.from(lines));
    projection ??= new Projection(block.header!);
    made.push(projection.block(block));
  }
  if (projection !== null) {
    made.push(projection.finish());
    projection.dispose();
  }
  await insert(
    stores,
    id,
    'screen',
    made.flatMap(({ screen }) => screen),
  );
  await insert(
    stores,
    id,
    'events',
    made.flatMap(({ events }) => events),
  );
  const { user, node, login } = row;
  const rows = kernel.map(({ data = {}, ...given }, index): EventRow => ({
    ...{ session: id, source: 'kernel', emitter: `agent/${node}`, block: 1, index, user, node, login, ...noFacts },
    ...{ at: startedAt + given.offset_ms, outcome: 'success', ...given, data: JSON.stringify(data) },
  }));
  await insert(stores, `${id}:kernel`, 'events', rows);
  return recorded;
}

/** An insert costs the same whatever its size, so make as few as possible. */
async function insert<Table extends 'screen' | 'events'>(
  { events: store }: Stores,
  token: string,
  table: Table,
  rows: readonly Rows[Table][number][],
): Promise<void> {
  for (let from = 0; from < rows.length; from += 10_000)
    await store.insert(table, rows.slice(from, from + 10_000) as never, `${token}:${table}:${from}`);
}
