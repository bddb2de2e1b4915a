/** The lines of a session's screen, in pages. Tested in viewer/api/sessions/replay-data.test.ts. */
import type { TranscriptPage } from '#schemas/api/recordings/replay.js';
import type { listLines } from '#schemas/api/recordings/replay.js';
import type { EventStore, ScreenLine } from '#stores/events/contract.js';
import type { z } from 'zod';

/** Number of lines before the requested moment. */
const BEFORE = 50;

type Store = Pick<EventStore, 'screenLines' | 'screenAround'>;

export async function transcript(
  events: Store,
  session: string,
  { after, before, at, limit }: z.output<typeof listLines.query>,
): Promise<TranscriptPage> {
  if (before !== undefined) {
    const lines = await events.screenLines(session, before, limit + 1, 'before');
    return pageOf(lines.slice(-limit), { more: true, earlier: lines.length > limit });
  }
  if (at !== undefined && at > 0) {
    const [around = []] = await events.screenAround([{ session, offset_ms: at }], 1);
    const here = around[0];
    if (here !== undefined) {
      const place = { block: here.block, index: here.index };
      const back = Math.min(BEFORE, limit - 1);
      const lead = await events.screenLines(session, place, back + 1, 'before');
      const rest = await events.screenLines(session, place, limit - back, 'after');
      const kept = limit - back - 1;
      return pageOf([...lead.slice(-back), here, ...rest.slice(0, kept)], { more: rest.length > kept, earlier: lead.length > back });
    }
  }
  const lines = await events.screenLines(session, after ?? null, limit + 1);
  return pageOf(lines.slice(0, limit), { more: lines.length > limit, earlier: after !== undefined });
}

function pageOf(lines: readonly ScreenLine[], sides: Pick<TranscriptPage, 'more' | 'earlier'>): TranscriptPage {
  return {
    lines: lines.map(({ block, index, offset_ms: offset, row, text }) => ({ place: `${block}.${index}`, offset, row, text })),
    ...sides,
  };
}
