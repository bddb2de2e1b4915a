/**
 * Derives rows of the event store from an event log. Ingest, as blocks arrive, and `steno reindex`, from the objects, use
 * the same function.
 *
 * The header gives the session's user, node and pod; a line gives the rest. The signing gateway is not trusted with the store: a
 * line that is not a valid row becomes a gap in its place, so one bad row affects only itself. Tested in
 * logged-events.test.ts.
 */
import { KERNEL_BLOCKS, isKernelRow, kernelEvent } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { eventPlace } from '#schemas/recording/event-places.js';
import type { RecordingHeader } from '#schemas/recording/line.js';
import { StenoError } from '#schemas/base/errors.js';
import { sessionIdPattern } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { ReadBlock } from '../read/block-reader.js';
import { momentOf, placeOf, podOf } from './event-rows.js';

/** With the prefix `agent/`, this fits the column `emitter`. */
const MAX_NODE = 249;

/**
 * Throws RECORDING_MALFORMED for a header without a session or with an impossible node, and for a line without a position.
 */
export function loggedEvents(header: RecordingHeader, block: Pick<ReadBlock, 'lines'>): EventRow[] {
  const of = { ...placeOf(header), ...podOf(header), started_at: momentOf(header, 0) };
  // placeOf accepts any value as column text; the rows of a log belong to the node in the signed header only.
  if (!sessionIdPattern.test(of.session) || of.node !== header.steno.node || of.node.length > MAX_NODE)
    throw new StenoError('RECORDING_MALFORMED', 'the header of an event log names no session or no node');
  return block.lines.map(({ line }) => {
    if (line.code !== 'e') throw new StenoError('RECORDING_MALFORMED', `"${line.code}" in an event log`);
    const row = [of.session, ...line.data];
    return kernelEvent(isKernelRow(row) ? row : refused(of.session, line.data), of);
  });
}

function refused(session: string, fields: readonly unknown[]): KernelRow {
  const place = eventPlace(fields);
  if (place === null || place.block < KERNEL_BLOCKS) throw new StenoError('RECORDING_MALFORMED', 'a row without a position');
  const offset = fields[2];
  const at = typeof offset === 'number' && Number.isSafeInteger(offset) && offset >= 0 ? offset : 0;
  const data = JSON.stringify({ state: 'gap', why: 'refused', count: 1, first_ms: at, last_ms: at });
  return [session, place.block, place.index, at, 'gap', '', null, '', '', null, 'refused', 'kernel_events', '', 1, data];
}
