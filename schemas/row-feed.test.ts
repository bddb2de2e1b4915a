import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventRow, noFacts } from './events/rows.js';
import type { EventRow, ScreenRow } from './events/rows.js';
import { MAX_MESSAGE_ROWS, isEventRow, parseRowMessage, rowMessages } from './row-feed.js';

const session = '01m81gpp13j0br7sqn8qcecmxs';
const event = (index: number, name: string): EventRow => ({
  ...{
    session,
    source: 'kernel',
    emitter: 'agent/a',
    block: 1,
    index,
    at: 5,
    offset_ms: 5,
    kind: 'exec',
    user: 'a',
    node: 'a',
    login: 'a',
  },
  ...noFacts,
  name,
});
const line = (index: number, text: string): ScreenRow => ({
  ...{ session, block: 1, index, at: 5, offset_ms: 5, row: 0, text, user: 'a', node: 'a', login: 'a' },
});
const texts = fc.array(fc.string({ maxLength: 200 }), { maxLength: 1_500 });

describe('messages of the row feed', () => {
  it('bring every row, in order, in messages within the bounds', () => {
    fc.assert(
      fc.property(texts, texts, (names, shown) => {
        const batch = { events: names.map((name, i) => event(i, name)), screen: shown.map((text, i) => line(i, text)), sessions: [] };
        const messages = [...rowMessages(batch)].map((text) => parseRowMessage(text)!);
        expect(messages.every(({ events, screen }) => events.length + screen.length <= MAX_MESSAGE_ROWS)).toBe(true);
        expect(messages.flatMap(({ events }) => events)).toEqual(batch.events);
        expect(messages.flatMap(({ screen }) => screen)).toEqual(batch.screen);
      }),
      { numRuns: 20 },
    );
  });

  it('large rows make short messages', () => {
    const data = JSON.stringify({ argv: ['x'.repeat(250_000)] });
    const batch = { events: Array.from({ length: 20 }, (_, i) => ({ ...event(i, ''), data })), screen: [], sessions: [] };
    expect(Math.max(...[...rowMessages(batch)].map(({ length }) => length))).toBeLessThan(2 << 20);
  });

  it.each([
    '',
    'null',
    '[]',
    '{}',
    '{"events":[],"screen":[]}',
    '{"events":[{}],"screen":[],"sessions":[]}',
    '{"events":[],"screen":[],"sessions":[],"x":1}',
  ])('anything else is none: %s', (text) => {
    expect(parseRowMessage(text)).toBeNull();
  });

  it('an event is one where the validator says so', () => {
    const edge = fc.constantFrom<unknown>(
      ...['', 'x', 'x'.repeat(255), 'x'.repeat(256), 'x'.repeat(4_096), 'x'.repeat(4_097), 'a'.repeat(64), 'A'.repeat(64), session],
      ...[0, -1, 1.5, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53, NaN, 7_258_118_400_001],
      ...[null, undefined, true, [], {}, 'kernel', 'exec', 'unknown', '{}', '{"a":1}'],
    );
    const column = fc.constantFrom(...Object.keys(eventRow.shape), 'other', 'toString', '__proto__');
    const whole = event(3, 'name');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(column, edge), { maxLength: 3 }),
        fc.option(fc.constantFrom(...Object.keys(eventRow.shape))),
        (changes, without) => {
          const row: Record<string, unknown> = { ...whole };
          for (const [name, value] of changes)
            Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
          if (without !== null) delete row[without];
          const sent: unknown = JSON.parse(JSON.stringify(row));
          expect(isEventRow(sent)).toBe(eventRow.safeParse(sent).success);
        },
      ),
      { numRuns: 5_000 },
    );
  });
});
