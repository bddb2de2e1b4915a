import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PasteFact } from '#schemas/recording/line.js';
import { GAP_MS, MAX_RUN, PasteWatch } from './pastes.js';

const LEAST = 1_024;

/** Messages, each so many milliseconds after the previous one. */
function told(messages: readonly (readonly [afterMs: number, bytes: string | Buffer])[]): readonly PasteFact[] {
  const watch = new PasteWatch(LEAST);
  const facts: PasteFact[] = [];
  let now = 0;
  for (const [after, bytes] of messages) {
    now += after;
    const fact = watch.typed(Buffer.from(bytes as string), now);
    if (fact !== null) facts.push(fact);
  }
  const last = watch.end();
  return last === null ? facts : [...facts, last];
}

describe('much input at once', () => {
  it.each<[string, readonly (readonly [number, string | Buffer])[], readonly Partial<PasteFact>[]]>([
    ['one message', [[0, 'x'.repeat(2_000)]], [{ bytes: 2_000, lines: 0, bracketed: false, ms: 0 }]],
    [
      'several in a row',
      Array.from({ length: 5 }, () => [40, 'a line of a script\n'.repeat(50)] as const),
      [{ bytes: 4_750, lines: 250, ms: 160 }],
    ],
    [
      'marked as a paste',
      [
        [0, '\x1b[200~'],
        [1, `${'y'.repeat(1_500)}\r\nz`],
        [1, '\x1b[201~'],
      ],
      [{ bytes: 1_515, lines: 1, bracketed: true, ms: 2 }],
    ],
    [
      'with a pause between',
      [
        [0, 'x'.repeat(2_000)],
        [GAP_MS, 'x'.repeat(3_000)],
      ],
      [{ bytes: 2_000 }, { bytes: 3_000 }],
    ],
    ['as long as the longest secret', [[0, 'x'.repeat(LEAST)]], []],
    ['keys, however fast', Array.from({ length: 5_000 }, () => [1, 'x'] as const), []],
    ['without an end', Array.from({ length: 40 }, () => [1, Buffer.alloc(32_768, 'x')] as const), [{ bytes: MAX_RUN }, { bytes: 262_144 }]],
    ['line ends of every kind', [[0, `${'x'.repeat(1_100)}\r\n\n\r\r\n`]], [{ lines: 4 }]],
  ])('%s', (_, messages, expected) => {
    const facts = told(messages);
    expect(facts).toHaveLength(expected.length);
    expect(facts).toMatchObject(expected);
  });

  it('every run longer than a secret is reported with its number of bytes, and no shorter one is', () => {
    const run = fc.array(fc.record({ after: fc.integer({ min: 0, max: GAP_MS - 1 }), bytes: fc.integer({ min: 65, max: 1_500 }) }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(fc.array(run, { maxLength: 6 }), (runs) => {
        const messages = runs.flatMap((one) =>
          one.map(({ after, bytes }, i) => [i === 0 ? GAP_MS + after : after, 'x'.repeat(bytes)] as const),
        );
        const sizes = runs.map((one) => one.reduce((sum, { bytes }) => sum + bytes, 0));
        expect(told(messages).map(({ bytes }) => bytes)).toEqual(sizes.filter((size) => size > LEAST));
      }),
    );
  });
});
