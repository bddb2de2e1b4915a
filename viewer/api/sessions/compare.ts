/**
 * Compares two sessions for users who may view both: reads the input of recordings/derive/comparison.ts. Tested in
 * viewer/api/compare-page.test.ts.
 */
import type { Comparison } from '#schemas/api/recordings/compare.js';
import type { SessionRow } from '#schemas/events/rows.js';
import type { EventStore } from '#stores/events/contract.js';
import { MAX_COMPARED, compared } from '#recordings/derive/comparison.js';
import type { ComparedSession } from '#recordings/derive/comparison.js';
import type { CommandLists } from './commands.js';
import type { Sessions } from './sessions.js';

const MAX_LINES = 10_000;

export interface CompareParts {
  readonly events: Pick<EventStore, 'screenLines'>;
  readonly sessions: Sessions;
  readonly commands: CommandLists;
}

export async function comparisonOf(parts: CompareParts, left: SessionRow, right: SessionRow): Promise<Comparison> {
  const [one, other] = [await sideOf(parts, left), await sideOf(parts, right)];
  return {
    left: parts.sessions.info(left),
    right: parts.sessions.info(right),
    rows: [...compared(one.side, other.side)],
    until: { left: one.until, right: other.until },
  };
}

async function sideOf(
  { events, commands }: CompareParts,
  row: SessionRow,
): Promise<{ readonly side: ComparedSession; readonly until: number | null }> {
  const list = await commands.of(row, 0);
  const found = await events.screenLines(row.session, null, MAX_LINES);
  const lines = found.map(({ block, index, offset_ms: offset, text }) => ({ place: `${block}.${index}`, offset, text }));
  const beyond = list.commands[MAX_COMPARED];
  const ends = [...(list.until === null ? [] : [list.until]), ...(beyond === undefined ? [] : [beyond.at])];
  return { side: { commands: list.commands, lines }, until: ends.length === 0 ? null : Math.min(...ends) };
}
