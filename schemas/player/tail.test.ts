import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseLines } from './segments.js';
import type { ScreenEvent } from './segments.js';
import { Tail } from './tail.js';

test('blocks are appended, and removed when they are stored', () => {
  const tail = new Tail(3, 1000, false);
  tail.append('[1,"o","a"]\n[1,"o","b"]\n');
  tail.append('[0.5,"o","c"]\n');
  expect([tail.block, tail.until, tail.events.map(({ at }) => at)]).toEqual([5, 3500, [2000, 3000, 3500]]);
  expect(tail.stored(4, 3000)).toBe(2);
  expect([tail.block, tail.until, tail.events.length]).toEqual([5, 3500, 1]);
  expect(tail.stored(8, 9000)).toBe(1);
  expect([tail.block, tail.until, tail.events.length, tail.characters]).toEqual([8, 9000, 0, 0]);
});

test('however drafts are split, with or without a reconnect, the events are those of the block and are only appended to', () => {
  const piece = fc.constantFrom('a', 'é🙂', '\r', '\n', '\\"', '\x1b[1m', '\r\n');
  const line = fc.oneof(
    { weight: 5, arbitrary: fc.array(piece, { minLength: 1, maxLength: 6 }).map((text) => ({ code: 'o', data: text.join('') })) },
    fc.constant({ code: 'r', data: '90x30' }),
    fc.constant({ code: 's', data: { fact: 'typist', user: 'bob' } }),
  );
  const joined = (events: readonly ScreenEvent[]): unknown[] => {
    const all: { at: number; kind: string; text: string }[] = [];
    for (const event of events) {
      const text = event.kind === 'output' ? event.text : `${event.cols}x${event.rows}`;
      const last = all.at(-1);
      if (last?.kind === 'output' && event.kind === 'output' && last.at === event.at) last.text += text;
      else all.push({ at: event.at, kind: event.kind, text });
    }
    return all;
  };
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(line, { minLength: 1, maxLength: 8 }),
      fc.array(fc.record({ share: fc.double({ min: 0, max: 1, noNaN: true }), begins: fc.boolean() }), { maxLength: 8 }),
      fc.nat(8),
      (newlines, lines, cuts, end) => {
        const tail = new Tail(3, 1000, newlines);
        // Write lines as the recorder does: output is appended escaped, here one character at a time, other lines at once.
        const writes = lines.flatMap(({ code, data }, i) => {
          const whole = `[${i % 2 === 0 ? 0 : 0.5},"${code}",${JSON.stringify(data)}]\n`;
          if (code !== 'o') return [whole];
          const escaped = [...(data as string)].map((character) => JSON.stringify(character).slice(1, -1));
          return [`[${i % 2 === 0 ? 0 : 0.5},"o","`, ...escaped, '"]\n'];
        });
        const all = writes.join('');
        // The block may end before the last line of its draft.
        const ends = [...all.matchAll(/\n/g)].map(({ index }) => index + 1);
        const first = all.slice(0, ends[end % ends.length]);
        const seen: ScreenEvent[] = [];
        let sent = '';
        for (const { share, begins } of [...cuts].sort((a, b) => a.share - b.share)) {
          const upTo = writes.slice(0, Math.round(share * writes.length)).join('');
          if (upTo.length === sent.length && !begins) continue;
          const anew = sent === '' || begins;
          const { events, differs } = tail.draft(anew ? upTo : upTo.slice(sent.length), anew);
          expect(differs).toBe(false);
          seen.push(...events);
          expect(tail.events).toEqual(seen);
          sent = upTo;
        }
        for (const block of [first, all.slice(first.length)].filter((text) => text !== '')) {
          const { events, differs } = tail.append(block);
          expect(differs).toBe(false);
          seen.push(...events);
          expect(tail.events).toEqual(seen);
        }
        const whole = parseLines(all, 1000, newlines);
        expect(joined(seen)).toEqual(joined(whole.events));
        expect([tail.block, tail.until]).toEqual([first === all ? 4 : 5, whole.until]);
      },
    ),
    { numRuns: 500 },
  );
});

test('segments that replace the block of a draft also replace its events', () => {
  const tail = new Tail(3, 1000, false);
  tail.append('[1,"o","a"]\n');
  tail.draft('[1,"o","b"]\n[1,"o","c', true);
  expect([tail.until, tail.events.length, tail.stored(4, 2000), tail.events.length]).toEqual([4000, 3, 1, 2]);
  expect([tail.stored(5, 4000), tail.events.length, tail.until]).toEqual([2, 0, 4000]);
});
