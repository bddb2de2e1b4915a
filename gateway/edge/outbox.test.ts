import { describe, expect, it } from 'vitest';
import { Outbox, SLAB_BYTES, SMALL_SLAB_BYTES } from './outbox.js';

function taken(outbox: Outbox, length: number): string {
  const into = Buffer.alloc(length);
  outbox.take(into, 0, length);
  return into.toString();
}

describe('an outbox', () => {
  it('returns bytes in the order they were put, in pieces of any size', () => {
    const outbox = new Outbox();
    let expected = '';
    for (let i = 0; i < 2000; i++) {
      const text = `${i} `.repeat(i % 97);
      expected += text;
      if (i % 2 === 0) outbox.put(Buffer.from(text));
      else {
        const place = outbox.reserve(Buffer.byteLength(text));
        place.write(text);
        outbox.put(place);
      }
    }
    expect(outbox.length).toBe(expected.length);
    let got = '';
    for (let length = 1; outbox.length > 0; length = Math.min(length * 3, outbox.length))
      got += taken(outbox, Math.min(length, outbox.length));
    expect(got).toBe(expected);
  });

  it('forgets bytes that were reserved but not put', () => {
    const outbox = new Outbox();
    outbox.reserve(100).fill('x');
    outbox.put(Buffer.from('put'));
    expect([outbox.length, taken(outbox, 3)]).toEqual([3, 'put']);
  });

  it('splits data larger than a slab', () => {
    const outbox = new Outbox();
    outbox.put(Buffer.alloc(3 * SLAB_BYTES + 1, 'a'));
    const lengths: number[] = [];
    for (let slab = outbox.takeSlab(); slab !== undefined; slab = outbox.takeSlab()) {
      lengths.push(slab.length);
      slab.giveBack();
    }
    expect(lengths).toEqual([SLAB_BYTES, SLAB_BYTES, SLAB_BYTES, 1]);
    expect(outbox.length).toBe(0);
  });

  it('lends each slab to one user at a time', () => {
    const [one, other] = [new Outbox(), new Outbox()];
    one.put(Buffer.from('one'));
    other.put(Buffer.from('other'));
    const slab = one.takeSlab()!;
    one.put(Buffer.from('again'));
    expect([slab.bytes.toString(), taken(one, 5), taken(other, 5)]).toEqual(['one', 'again', 'other']);
    slab.giveBack();
  });
});

describe('an outbox with small slabs', () => {
  it('uses them, and a large one for what does not fit', () => {
    const outbox = new Outbox();
    outbox.shrink();
    outbox.put(Buffer.alloc(SMALL_SLAB_BYTES + 1, 'a'));
    outbox.put(outbox.reserve(SLAB_BYTES).fill('b'));
    const lengths: number[] = [];
    for (let slab = outbox.takeSlab(); slab !== undefined; slab = outbox.takeSlab()) {
      lengths.push(slab.length);
      slab.giveBack();
    }
    expect(lengths).toEqual([SMALL_SLAB_BYTES, 1, SLAB_BYTES]);
  });

  it('does not mix them up when they are given back', () => {
    const [large, small] = [new Outbox(), new Outbox()];
    small.shrink();
    for (let i = 0; i < 100; i++)
      for (const outbox of [large, small]) {
        outbox.put(Buffer.alloc(SLAB_BYTES, 'x'));
        outbox.takeSlab()!.giveBack();
        outbox.clear();
      }
    large.put(Buffer.alloc(SLAB_BYTES, 'x'));
    expect(large.takeSlab()!.length).toBe(SLAB_BYTES);
  });
});
