/**
 * The rows of the event store that an event log says: the one function by which ingest, as blocks arrive, and `steno reindex`,
 * from the objects, make them.
 *
 * The header says whose session it is and where; a line says the rest. The gateway that signed is not trusted with the store: a
 * line that is no row for it becomes a gap in its place, so that one bad row costs itself. Tested in logged-events.test.ts.
 */
import { KERNEL_BLOCKS, kernelEvent, kernelRow } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { eventPlace } from '#schemas/recording/event-places.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import { StenoError } from '#schemas/base/errors.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { ReadBlock } from '../read/block-reader.js';
import { momentOf, placeOf } from './event-rows.js';

/** Throws RECORDING_MALFORMED on a line that has no place. */
export function loggedEvents(header: RecordingHeader, block: ReadBlock): EventRow[] {
  const of = { ...placeOf(header), started_at: momentOf(header, 0) };
  return block.lines.map(({ line }) => {
    if (line.code !== 'e') throw new StenoError('RECORDING_MALFORMED', `"${line.code}" in an event log`);
    const parsed = kernelRow.safeParse([of.session, ...line.data]);
    return kernelEvent(parsed.success ? parsed.data : refused(of.session, line.data), of);
  });
}

function refused(session: string, fields: readonly unknown[]): KernelRow {
  const place = eventPlace(fields);
  if (place === null || place.block < KERNEL_BLOCKS) throw new StenoError('RECORDING_MALFORMED', 'a row without a place');
  const offset = fields[2];
  const at = typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0 ? offset : 0;
  const data = JSON.stringify({ state: 'gap', why: 'refused', count: 1, first_ms: at, last_ms: at });
  return [session, place.block, place.index, at, 'gap', '', null, '', '', null, 'refused', 'kernel_events', '', 1, data];
}
