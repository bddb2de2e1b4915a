import { expect, test } from 'vitest';
import { Feed, Lost, MAX_ASK, skip } from './feed.js';
import type { Reading } from './feed.js';
import { bytewise, pattern, ragged, whole } from '../../testing/transcript.js';

const input = pattern(10_000);

test.each([
  ['whole', whole],
  ['byte by byte', bytewise],
  ['ragged', ragged(1)],
] as const)('asks and passages get the same bytes when fed %s', (_, cut) => {
  const got: Buffer[] = [];
  let ended: string | null | undefined;
  function* reading(): Reading {
    got.push(Buffer.from(yield 5), Buffer.from(yield 0), Buffer.from(yield 100));
    yield 'next';
    yield { length: 3000, to: (slice) => got.push(Buffer.from(slice)) };
    yield { length: 0, to: () => got.push(Buffer.alloc(1)) };
    yield skip(1000);
    got.push(Buffer.from(yield 5000));
  }
  const feed = new Feed(reading(), (reason) => {
    ended = reason;
  });
  for (let at = 0; at < input.length;) {
    const size = Math.min(input.length - at, cut(input.length - at));
    feed.push(input.subarray(at, at + size));
    at += size;
  }
  expect(Buffer.concat(got).equals(Buffer.concat([input.subarray(0, 3105), input.subarray(4105, 9105)]))).toBe(true);
  expect(ended).toBeNull();
  expect(feed.taken).toBe(9105);
  expect(feed.memory).toBe(0);
});

test('what is thrown ends the feed with a reason, once, also from a passage', () => {
  const faults: readonly (readonly [() => Reading, string])[] = [
    [
      function* () {
        yield 1;
        throw new Lost('why');
      },
      'why',
    ],
    [
      function* () {
        yield {
          length: 9,
          to: () => {
            throw new Lost('there');
          },
        };
      },
      'there',
    ],
    [
      function* () {
        yield 1;
        throw new TypeError('secret');
      },
      'the observer failed: TypeError',
    ],
    [
      function* () {
        yield 1;
        yield MAX_ASK + 1;
      },
      'a field is too long',
    ],
    [
      function* () {
        yield -1;
      },
      'a field is too long',
    ],
    [
      function* () {
        yield skip(-1);
      },
      'a length is negative',
    ],
  ];
  for (const [reading, reason] of faults) {
    const reasons: (string | null)[] = [];
    const feed = new Feed(reading(), (why) => reasons.push(why));
    for (let i = 0; i < 3; i++) feed.push(input);
    expect(reasons).toEqual([reason]);
  }
});

test('a passage may stop its own feed', () => {
  const feed: Feed = new Feed(
    (function* (): Reading {
      yield { length: 5, to: () => feed.stop() };
      throw new Error('not reached');
    })(),
    () => {
      throw new Error('not reached');
    },
  );
  feed.push(input);
  expect(feed.active).toBe(false);
});
