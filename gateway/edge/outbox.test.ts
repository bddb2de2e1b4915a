import { describe, expect, it } from 'vitest';
import { Outbox, SLAB_BYTES } from './outbox.js';

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
