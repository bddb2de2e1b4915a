/** Pieces of statements over stored events. */
import { formatMoment } from '#stores/events/engine/columns.js';
import { literal } from '#stores/events/queries/visible.js';

export interface Slice {
  /** ms since 1970; inclusive, exclusive. */
  readonly from: number;
  readonly to: number;
}

/** Rows that the engine holds twice for a while have one identity, and the same moment. */
export const IDENTITY = 'sipHash128(session, source, emitter, block, `index`)';

/** Of an example, in the order in which hunt.ts reads it. */
export const SHOWN =
  '(toUnixTimestamp64Milli(at), session, source, emitter, block, `index`, offset_ms, kind, user, node, login, path, name, address)';

export function within({ from, to }: Slice): string {
  const moment = (at: number): string => `toDateTime64(${literal(formatMoment(at))}, 3, 'UTC')`;
  return `at >= ${moment(from)} AND at < ${moment(to)}`;
}
