import { describe, expect, test } from 'vitest';
import { Budget } from './budget.js';
import { Content } from './content.js';
import { pattern, seeded, sha256 } from '../../testing/transcript.js';

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

describe('in parallel', () => {
  /** Pieces of 1 to 4,000 bytes, moved by less than `window` bytes from where they would come in order. */
  function shuffled(random: () => number, window: number): readonly (readonly [number, number])[] {
    const pieces: (readonly [key: number, from: number, to: number])[] = [];
    for (let from = 0; from < bytes.length;) {
      const to = Math.min(bytes.length, from + 1 + Math.floor(random() * 4000));
      pieces.push([from + random() * window, from, to]);
      from = to;
    }
    return pieces.sort(([a], [b]) => a - b).map(([, from, to]) => [from, to] as const);
  }

  test('any order within the window gives the digest of the whole, repeated reads too', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = seeded(seed);
      // A piece costs its bytes and 512 more; those of a window, and one that reaches into it, are held at most, some of them twice.
      const pool = new Budget(100_000);
      const content = new Content(new Budget(0, 100_000, pool), 'ignored');
      const pieces = shuffled(random, 1000 + random() * 20_000);
      const again = seed % 2 === 0 ? pieces.flatMap((piece) => (random() < 0.2 ? [piece, piece] : [piece])) : pieces;
      feed(content, ...again);
      expect(content.broken, `seed ${seed}`).toBeNull();
      expect(content.hasEarly).toBe(false);
      expect(content.digest(), `seed ${seed}`).toBe(sha256(bytes));
      expect(pool.held).toBe(0);
    }
  });

  test('offsets of an enemy hold no more than the bound, of one file and of all, and cost no more time for it', () => {
    const pool = new Budget(2_000_000);
    const contents = Array.from({ length: 8 }, () => new Content(new Budget(0, 500_000, pool), 'ignored'));
    const random = seeded(9);
    const started = performance.now();
    for (let i = 0; i < 20_000; i++) {
      const content = contents[i % contents.length]!;
      const length = 1 + Math.floor(random() * 20);
      content.startPiece(2 ** Math.floor(random() * 53) + Math.floor(random() * 1000), length);
      content.bytes(bytes.subarray(0, length));
      content.endPiece();
      expect(pool.held).toBeLessThanOrEqual(2_000_000);
    }
    expect(contents.every(({ broken }) => broken !== null)).toBe(true);
    expect(pool.held).toBe(0);
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test('what comes in order is never held', () => {
    const budget = new Budget(0);
    const content = new Content(budget, 'break');
    feed(content, [0, 20_000], [20_000, 50_000]);
    expect(content.digest()).toBe(sha256(bytes));
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
