/**
 * Recomputes rows from the objects alone; used by `steno reindex` and to recover a lost event store.
 *
 * It runs the same `Projection` as live ingest, starting at block 1, so the rows are identical byte for byte, whether the
 * recording is in parts or sealed. Rows of the event log come from the function that ingest uses. Tested in
 * ingest/writing/faults.test.ts and ingest/writing/event-log-writer.test.ts.
 */
import { BlockReader } from '#recordings/read/block-reader.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { Zstd } from '#runtime/zstd.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { SessionSummary } from '#recordings/derive/event-rows.js';
import { Projection } from '#recordings/derive/projection.js';
import type { Rows } from '#recordings/derive/projection.js';
import { loggedEvents } from '#recordings/derive/logged-events.js';
import { readEventLog } from '#recordings/read/event-log.js';
import { endsTheWalk } from '#recordings/read/walk.js';
import { bytesOf, rowOf } from '../writing/recovery.js';
import { SEALED_VERSION } from '../sealing/sealer.js';
import { listParts, openPart, placeOf, readBlocks, readManifest } from '#recordings/read/stored-recording.js';

export interface ReindexParts {
  readonly objects: ObjectStore;
  readonly events: Pick<EventStore, 'insert'>;
  readonly zstd: Zstd;
}

/**
 * Yields the rows of each block in order, then those still pending at the end, and the row of the session. Throws if the
 * recording is damaged, after yielding the rows of everything before the damage and the session row as far as it is known.
 */
export async function* deriveRows(
  { objects, zstd }: Pick<ReindexParts, 'objects' | 'zstd'>,
  prefix: string,
): AsyncGenerator<Rows & { readonly session: SessionRow | null }> {
  const manifest = await readManifest(objects, prefix, placeOf(prefix));
  const reader = new BlockReader();
  let projection: Projection | null = null;
  let summary: SessionSummary | null = null;
  try {
    for await (const { content } of readBlocks(objects, prefix, zstd, manifest)) {
      const block = reader.read(content);
      if (block.header !== null) {
        projection = new Projection(block.header);
        summary = new SessionSummary(block.header);
      }
      if (projection === null || summary === null) throw new StenoError('RECORDING_MALFORMED', `no header under ${prefix}`);
      summary.add(block);
      yield { ...projection.block(block), session: null };
    }
    if (projection === null || summary === null) throw new StenoError('RECORDING_MALFORMED', `no blocks under ${prefix}`);
    if (manifest !== null) {
      const bytes = manifest.objects.reduce((sum, object) => sum + object.bytes, 0);
      const state = manifest.end === 'complete' ? 'sealed' : 'interrupted';
      yield { ...projection.finish(), session: summary.row(SEALED_VERSION, state, manifest.head, bytes) };
      return;
    }
    const parts = await listParts(objects, prefix);
    const { checkpoint } = openPart(await objects.get(parts.at(-1)!.key)).proof;
    const row = rowOf(summary, checkpoint, parts.length, bytesOf(parts));
    yield checkpoint.end === 'open' ? { screen: [], events: [], session: row } : { ...projection.finish(), session: row };
  } catch (error) {
    // Version 0 yields to any row that the store has; if there is none, the session can at least be found and its start be
    // shown.
    if (summary !== null && !endsTheWalk(error)) yield { screen: [], events: [], session: summary.row(0, 'interrupted', '', 0) };
    throw error;
  } finally {
    projection?.dispose();
  }
}

const BATCH_ROWS = 20_000;

/**
 * Inserts the rows of one recording. Safe to repeat, and next to a running ingest. `run` distinguishes repetitions: with the
 * same value, a store that remembers it would treat rows deleted in the meantime as already inserted.
 */
export async function reindex(
  parts: ReindexParts,
  prefix: string,
  run: string,
): Promise<{ readonly screen: number; readonly events: number }> {
  const counts = { screen: 0, events: 0 };
  const held: { screen: Rows['screen'][number][]; events: Rows['events'][number][] } = { screen: [], events: [] };
  const flush = async (atLeast: number): Promise<void> => {
    for (const table of ['screen', 'events'] as const) {
      const rows = held[table];
      if (rows.length < atLeast) continue;
      const [first, last] = [rows[0]!, rows.at(-1)!];
      await parts.events.insert(
        table,
        rows as never,
        `reindex ${run} ${first.session} ${'source' in first ? first.source : ''} ${first.block}.${first.index} ${last.block}.${last.index}`,
      );
      counts[table] += rows.length;
      held[table] = [];
    }
  };
  let fault: unknown;
  try {
    for await (const { screen, events, session } of deriveRows(parts, prefix)) {
      held.screen.push(...screen);
      held.events.push(...events);
      await flush(BATCH_ROWS);
      if (session === null) continue;
      await flush(1);
      await parts.events.insert('sessions', [session], `reindex ${run} ${session.session} ${session.version}`);
    }
  } catch (error) {
    if (endsTheWalk(error)) throw error;
    fault = error;
  }
  // Damage to the recording is no reason to skip its event log, nor the other way round.
  await flush(1);
  for await (const { header, block } of readEventLog(parts, prefix)) {
    held.events.push(...loggedEvents(header, block));
    await flush(BATCH_ROWS);
  }
  await flush(1);
  if (fault !== undefined) throw fault as Error;
  return counts;
}
