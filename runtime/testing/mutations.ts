/** Mutations of valid inputs for fast-check: positions are fractions, so that they fit every input and shrink. */
import fc from 'fast-check';

const place = fc.nat(100_000);
export const mutation = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: place, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('set' as const), at: place, value: fc.constantFrom(0, 1, 0x0a, 0x22, 0x5c, 0x7f, 0x80, 0xff) }),
  fc.record({ kind: fc.constant('delete' as const), at: place, length: fc.integer({ min: 1, max: 64 }) }),
  fc.record({ kind: fc.constant('copy' as const), at: place, from: place, length: fc.integer({ min: 1, max: 64 }), seed: fc.nat(63) }),
  fc.record({ kind: fc.constant('insert' as const), at: place, bytes: fc.uint8Array({ minLength: 1, maxLength: 16 }) }),
  fc.record({ kind: fc.constant('word' as const), at: place, word: fc.nat(63) }),
  fc.record({
    kind: fc.constant('number' as const),
    at: place,
    value: fc.constantFrom(0, 1, 4, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
    little: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('cut' as const), at: place }),
);
export type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;

export function mutate(seed: Uint8Array, list: readonly Mutation[], seeds: readonly Uint8Array[], words: readonly Uint8Array[]): Buffer {
  return list.reduce<Buffer>((now, step) => {
    const at = Math.floor((step.at / 100_001) * (now.length + 1));
    const insert = (bytes: Uint8Array): Buffer => Buffer.concat([now.subarray(0, at), bytes, now.subarray(at)]);
    const changed = Buffer.from(now);
    switch (step.kind) {
      case 'flip':
        if (at < changed.length) changed[at]! ^= 1 << step.bit;
        return changed;
      case 'set':
        if (at < changed.length) changed[at] = step.value;
        return changed;
      case 'delete':
        return Buffer.concat([now.subarray(0, at), now.subarray(at + step.length)]);
      case 'copy': {
        const from = seeds[step.seed % seeds.length]!;
        const start = Math.floor((step.from / 100_001) * from.length);
        return insert(from.subarray(start, start + step.length));
      }
      case 'insert':
        return insert(step.bytes);
      case 'word':
        return words.length === 0 ? changed : insert(words[step.word % words.length]!);
      case 'number':
        if (at + 4 <= changed.length) {
          if (step.little) changed.writeUInt32LE(step.value, at);
          else changed.writeUInt32BE(step.value, at);
        }
        return changed;
      case 'cut':
        return now.subarray(0, at);
    }
  }, Buffer.from(seed));
}
