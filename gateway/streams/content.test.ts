import { describe, expect, test } from 'vitest';
import { Budget } from './budget.js';
import { Content } from './content.js';
import { pattern, seeded, sha256 } from './testing/transcript.js';

const bytes = pattern(50_000);
function feed(content: Content, ...pieces: readonly (readonly [number, number])[]): void {
  for (const [from, to] of pieces) {
    content.startPiece(from, to - from);
    for (let at = from; at < to; at += 777) content.bytes(bytes.subarray(at, Math.min(to, at + 777)));
    content.endPiece();
  }
}

describe('content in pieces', () => {
  test('pieces in any order within the budget give the digest, and the budget back', () => {
    const random = seeded(3);
    for (let round = 0; round < 50; round++) {
      const budget = new Budget(100_000);
      const content = new Content(budget, 'break');
      const pieces = Array.from({ length: 25 }, (_, i) => [i * 2000, (i + 1) * 2000] as const)
        .map((piece) => [random(), piece] as const)
        .sort(([a], [b]) => a - b)
        .map(([, piece]) => piece);
      feed(content, ...pieces);
      expect(content.hasEarly).toBe(false);
      expect(content.digest()).toBe(sha256(bytes));
      expect(budget.held).toBe(0);
    }
  });

  test('reading again is ignored, writing again breaks', () => {
    const read = new Content(new Budget(), 'ignored');
    feed(read, [0, 1000], [500, 2000], [0, 10], [3000, 4000], [1500, 3500], [3500, 50_000]);
    expect(read.digest()).toBe(sha256(bytes));
    for (const again of [
      [0, 10],
      [900, 1100],
    ] as const) {
      const write = new Content(new Budget(), 'break');
      feed(write, [0, 1000], again);
      expect(write.broken).toBe('parts were written again');
    }
    const early = new Content(new Budget(), 'break');
    feed(early, [2000, 3000], [2500, 3500], [0, 2000]);
    expect(early.broken).toBe('parts were written again');
  });

  test('more than the budget holds out of order has no digest, and holds nothing', () => {
    const budget = new Budget(5000);
    const content = new Content(budget, 'ignored');
    feed(content, [10_000, 20_000], [0, 10_000]);
    expect(content.broken).toBe('the content came too far out of order');
    expect(content.digest()).toBeNull();
    expect(budget.held).toBe(0);
    expect(content.moved).toBe(20_000);
  });
});

describe('the budget', () => {
  test('borrows from the pool above its own part, and gives all of it back', () => {
    const pool = new Budget(100);
    const [a, b] = [new Budget(50, 500, pool), new Budget(50, 500, pool)];
    expect(a.take(120)).toBe(true);
    expect(pool.held).toBe(70);
    expect(b.take(90)).toBe(false);
    expect(b.take(80)).toBe(true);
    expect(pool.held).toBe(100);
    a.give(100);
    expect(pool.held).toBe(30);
    a.release();
    b.release();
    expect(pool.held).toBe(0);
    expect(new Budget(10).take(11)).toBe(false);
  });
});
