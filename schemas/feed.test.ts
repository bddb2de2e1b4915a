import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FeedCursor, formatFeedRequest, parseFeedRequest } from './feed.js';
import { sessionId } from './recording/line.js';
import { decodeUplink, encodeUplink } from './uplink.js';

const sessions = fc
  .tuple(fc.integer({ min: 0, max: 4_102_444_800_000 }), fc.uint8Array({ minLength: 10, maxLength: 10 }))
  .map(([time, random]) => sessionId(time, random));
/** Does what URLSearchParams does for names and values without escapes; its type is not available in this folder. */
const query = (path: string) => {
  const pairs = new Map((path.split('?')[1] ?? '').split('&').map((pair) => pair.split('=') as [string, string]));
  return { get: (name: string) => pairs.get(name) ?? null };
};

test('a request is parsed as it was written', () => {
  fc.assert(
    fc.property(sessions, fc.integer({ min: 0, max: 1e15 - 1 }), fc.boolean(), (session, after, drafts) => {
      expect(parseFeedRequest(query(formatFeedRequest({ session, after, drafts })))).toEqual({ session, after, drafts });
    }),
  );
});

test.each([
  ['no session', '/live?after=1'],
  ['an invalid session id', '/live?session=..&after=1'],
  ['a negative block', `/live?session=${sessionId(0, new Uint8Array(10))}&after=-1`],
  ['a block that is not a number', `/live?session=${sessionId(0, new Uint8Array(10))}&after=1e3`],
  ['a block beyond every recording', `/live?session=${sessionId(0, new Uint8Array(10))}&after=${'9'.repeat(16)}`],
])('%s is not a valid request', (_, path) => {
  expect(parseFeedRequest(query(path))).toBeNull();
});

test('whatever is resent, a follower takes every block once and in order, and reports a hole', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 20 }), fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 60 }), (after, numbers) => {
      const session = sessionId(0, new Uint8Array(10));
      const cursor = new FeedCursor({ session, after });
      let last = after;
      for (const n of numbers) {
        const frame = decodeUplink(encodeUplink('block', { session, n, head: '0'.repeat(64) }, Uint8Array.of(n)));
        const step = cursor.take(frame);
        expect(step.kind).toBe(n <= last ? 'other' : n === last + 1 ? 'block' : 'hole');
        if (step.kind === 'block') expect(step.lines).toEqual(Uint8Array.of((last = n)));
      }
      expect(cursor.last).toBe(last);
    }),
  );
});

test('only drafts of the next block are taken, from its first byte on and without a gap', () => {
  const session = sessionId(0, new Uint8Array(10));
  const cursor = new FeedCursor({ session, after: 3 });
  const draft = (n: number, from: number, length: number): string => {
    const step = cursor.take(decodeUplink(encodeUplink('draft', { session, n, from }, new Uint8Array(length))));
    return step.kind === 'draft' ? (step.begins ? 'begins' : 'goes on') : step.kind;
  };
  expect([draft(3, 0, 9), draft(5, 0, 9), draft(4, 5, 9)]).toEqual(['other', 'other', 'other']);
  expect([draft(4, 0, 5), draft(4, 5, 7), draft(4, 5, 7), draft(4, 11, 1), draft(4, 12, 1)]).toEqual([
    'begins',
    'goes on',
    'other',
    'other',
    'goes on',
  ]);
  expect([draft(4, 0, 2), draft(4, 2, 2)]).toEqual(['begins', 'goes on']);
  cursor.take(decodeUplink(encodeUplink('block', { session, n: 4, head: '0'.repeat(64) }, new Uint8Array(4))));
  expect([draft(5, 4, 1), draft(4, 0, 1), draft(5, 0, 1)]).toEqual(['other', 'other', 'begins']);
});

test('blocks of other sessions, and other frames, are ignored', () => {
  const [mine, other] = [sessionId(0, new Uint8Array(10)), sessionId(1, new Uint8Array(10))];
  const cursor = new FeedCursor({ session: mine, after: 0 });
  expect(cursor.take(decodeUplink(encodeUplink('block', { session: other, n: 1, head: '0'.repeat(64) }, Uint8Array.of(1)))).kind).toBe(
    'other',
  );
  expect(cursor.take(decodeUplink(encodeUplink('open', { session: mine }))).kind).toBe('other');
});
