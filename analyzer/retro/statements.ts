/** Pieces of statements over stored events. */
import { formatMoment } from '#stores/events/engine/columns.js';
import { literal } from '#stores/events/queries/visible.js';

export interface Slice {
  /** ms since 1970; `from` inclusive, `to` exclusive. */
  readonly from: number;
  readonly to: number;
}

/** Copies of a row that the engine holds for a while share one identity and one moment. */
export const IDENTITY = 'sipHash128(session, source, emitter, block, `index`)';

/** Columns of an example, in the order in which hunt.ts reads them. */
export const SHOWN =
  '(toUnixTimestamp64Milli(at), session, source, emitter, block, `index`, offset_ms, kind, user, node, login, path, name, address)';

export function within({ from, to }: Slice): string {
  const moment = (at: number): string => `toDateTime64(${literal(formatMoment(at))}, 3, 'UTC')`;
  return `at >= ${moment(from)} AND at < ${moment(to)}`;
}
