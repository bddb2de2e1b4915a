import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventRow, noFacts } from './events/rows.js';
import type { EventRow, ScreenRow } from './events/rows.js';
import { SHARES, shareOf } from './events/shares.js';
import { MAX_MESSAGE_ROWS, formatRowsWanted, isEventRow, parseRowMessage, parseRowsWanted, rowMessages, rowsOfShares } from './row-feed.js';

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
/** The columns of an event in the order of a group: shared columns, then each event's own. */
const shared = ['session', 'source', 'emitter', 'user', 'node', 'login', 'cluster', 'namespace', 'pod', 'container'];
const own = [
  ...['block', 'index', 'at', 'offset_ms', 'kind', 'raw_kind', 'path', 'size', 'sha256', 'address', 'port', 'name', 'reason', 'outcome'],
  ...['count', 'data'],
];
const texts = fc.array(fc.string({ maxLength: 200 }), { maxLength: 1_500 });

describe('messages of the row feed', () => {
  it('carry every row, in order, in messages within the limits', () => {
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

  it('carry every row, in order, with shared columns sent once', () => {
    const changes = fc.constantFrom<Partial<EventRow>>(
      ...[
        {},
        {},
        {},
        { session: session.replace(/s$/, 't') },
        { user: 'b' },
        { container: 'c' },
        { source: 'recording' as const, emitter: '' },
      ],
    );
    const made = fc.array(fc.tuple(fc.string({ maxLength: 50 }), changes), { maxLength: 1_200 });
    fc.assert(
      fc.property(made, texts, (events, shown) => {
        const batch = {
          events: events.map(([name, changed], i) => ({ ...event(i, name), ...changed })),
          screen: shown.map((text, i) => line(i, text)),
          sessions: [],
        };
        const messages = [...rowMessages(batch, true)].map((text) => parseRowMessage(text)!);
        expect(messages.every((message) => message.events.length + message.screen.length <= MAX_MESSAGE_ROWS)).toBe(true);
        expect(messages.flatMap((message) => message.events)).toEqual(batch.events);
        expect(messages.flatMap((message) => message.screen)).toEqual(batch.screen);
      }),
      { numRuns: 20 },
    );
  });

  it.each([...shared, ...own].map((column, place) => [column, place] as const))(
    'an event of a group is checked like any other: %s',
    (column, place) => {
      const rows = Array.from({ length: 3 }, (_, i) => event(i, `n${i}`));
      const [text] = [...rowMessages({ events: rows, screen: [], sessions: [] }, true)];
      for (const value of [null, '', 'x'.repeat(256), 'x'.repeat(4_097), '{', -1, 1.5, 2 ** 53, {}, [], true]) {
        const sent = JSON.parse(text!) as { readonly groups: unknown[][][] };
        const [of, , second] = sent.groups[0]!;
        if (place < shared.length) of![place] = value;
        else second![place - shared.length] = value;
        const isValid = parseRowMessage(JSON.stringify(sent)) !== null;
        expect(isValid, JSON.stringify(value)).toBe(isEventRow({ ...rows[1], [column]: value }));
      }
    },
  );

  it.each([
    '{"groups":{},"screen":[],"sessions":[]}',
    '{"groups":[{}],"screen":[],"sessions":[]}',
    '{"groups":[[[],[]]],"screen":[],"sessions":[]}',
    '{"groups":[],"events":[],"screen":[],"sessions":[]}',
    '{"groups":[],"screen":[],"sessions":[],"x":1}',
    '{"groups":[],"screen":[]}',
  ])('anything else is not a valid group: %s', (text) => {
    expect(parseRowMessage(text)).toBeNull();
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
  ])('anything else is refused: %s', (text) => {
    expect(parseRowMessage(text)).toBeNull();
  });

  it('the quick check of an event agrees with the validator', () => {
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

/** The query of a path, as far as the feed's needs it. */
function queryOf(path: string): Parameters<typeof parseRowsWanted>[0] {
  const [, query = ''] = path.split('?');
  const pairs = new Map(query.split('&').map((pair) => pair.split('=') as [string, string]));
  return { searchParams: { get: (name) => pairs.get(name) ?? null } };
}

describe('rows of some shares', () => {
  const wanted = fc.record({
    grouped: fc.boolean(),
    shares: fc.option(fc.uniqueArray(fc.integer({ min: 0, max: SHARES - 1 })).map((shares) => new Set(shares.sort((a, b) => a - b)))),
  });

  it('are asked for by a path that is read as it was written', () => {
    fc.assert(
      fc.property(wanted, (asked) => {
        expect(parseRowsWanted(queryOf(formatRowsWanted(asked)))).toEqual(asked);
      }),
    );
    expect(parseRowsWanted(queryOf('/rows?shares=ff'))).toBeNull();
  });

  it('are those of their sessions, in order; rows of no session are in none', () => {
    const others = ['', session, ...Array.from('abcdefghjkmn', (letter) => session.replace(/s$/, letter))];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...others)), fc.uniqueArray(fc.integer({ min: 0, max: SHARES - 1 })), (sessions, shares) => {
        const batch = { events: sessions.map((id, i) => ({ ...event(i, ''), session: id })), screen: [], sessions: [] };
        const isOurs = (id: string): boolean => id !== '' && shares.includes(shareOf(id));
        expect(rowsOfShares(batch, new Set(shares)).events).toEqual(batch.events.filter(({ session: id }) => isOurs(id)));
      }),
    );
  });
});
