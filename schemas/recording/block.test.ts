import { describe, expect, test } from 'vitest';
import { BLOCK_MAX_BYTES, BLOCK_MAX_MS, BlockCutter, cutBlocks } from './block.js';
import { encodeLine } from './line.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8');
const cut = (text: string, from?: { n: number; at: number }) =>
  [...cutBlocks(encoder.encode(text), from)].map(({ n, at, until, content }) => ({ n, at, until, text: decoder.decode(content) }));
const output = (interval: number, bytes = 1): string => encodeLine(interval, { code: 'o', data: 'x'.repeat(bytes) });
const overhead = output(0, 0).length;

/** Pseudo-random numbers below `bound`, the same each run. */
function numbers(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % bound;
  };
}

describe('a block', () => {
  test('ends before the line that is a second or more after its first', () => {
    expect(cut(output(0) + output(BLOCK_MAX_MS - 1) + output(1)).map(({ n, at, until }) => [n, at, until])).toEqual([
      [1, 0, 999],
      [2, 1000, 1000],
    ]);
  });

  test('ends before the line that would exceed its limit, and may reach the limit exactly', () => {
    const full = output(0, BLOCK_MAX_BYTES / 2 - overhead);
    expect(cut(full + full).map(({ n }) => n)).toEqual([1]);
    expect(cut(full + full + output(0)).map(({ n }) => n)).toEqual([1, 2]);
    expect(cut(output(0) + full + full).map(({ n }) => n)).toEqual([1, 2]);
  });

  test('leaves out keyframes at any position', () => {
    const keyframe = encodeLine(0, { code: 'k', data: { cols: 80, rows: 24, screen: 'x' } });
    const seen: number[] = [];
    const lines = keyframe + output(5) + keyframe + output(6) + keyframe;
    const blocks = [...cutBlocks(encoder.encode(lines), undefined, (_, at) => seen.push(at))];
    expect(blocks.map(({ content }) => decoder.decode(content))).toEqual([output(5) + output(6)]);
    expect(seen).toEqual([0, 5, 11]);
  });

  test('starts with the header at time 0', () => {
    expect(cut(`{"version":3}\n${output(10)}`)).toEqual([{ n: 1, at: 0, until: 10, text: `{"version":3}\n${output(10)}` }]);
    expect(() => cut(`${output(1)}{"version":3}\n`)).toThrow();
  });

  test('does not accept a line without a newline', () => {
    expect(() => cut(output(0) + output(0).slice(0, -1))).toThrow(expect.objectContaining({ code: 'RECORDING_MALFORMED' }) as Error);
    expect(cut('')).toEqual([]);
  });
});

test('random recordings are cut identically as a whole, from any block on, and line by line', () => {
  const random = numbers(7);
  for (let round = 0; round < 20; round++) {
    const lines = Array.from({ length: 150 }, () =>
      output(random(10) === 0 ? random(3000) : random(200), random(8) === 0 ? random(30_000) : random(200)),
    );
    const whole = cut(lines.join(''));
    expect(whole.map(({ text }) => text).join('')).toBe(lines.join(''));
    // Cut line by line, as the recorder does.
    const cutter = new BlockCutter();
    let at = 0;
    const live: string[] = [];
    for (const line of lines) {
      at += Math.round(Number(/^\[([^,]*),/.exec(line)![1]) * 1000);
      if (cutter.startsBlock(line.length, at)) live.push(line);
      else live[live.length - 1] += line;
    }
    expect(live).toEqual(whole.map(({ text }) => text));
    // Parts begin at block boundaries; cutting starts afresh there.
    const place = random(whole.length);
    const before = whole[place - 1];
    const rest = whole
      .slice(place)
      .map(({ text }) => text)
      .join('');
    expect(cut(rest, { n: place, at: before?.until ?? 0 })).toEqual(whole.slice(place));
    for (const block of whole) {
      expect(block.text.length).toBeLessThanOrEqual(BLOCK_MAX_BYTES);
      expect(block.until - block.at).toBeLessThan(BLOCK_MAX_MS);
    }
  }
});
