import { describe, expect, test } from 'vitest';
import { certificateProof, frame, join, recorded } from '../testing/signed-recording.js';
import { dataFrameLength, readContainer } from './container.js';

const whole = recorded();

describe('the container', () => {
  test('is read back frame by frame', () => {
    expect([...readContainer(whole)].map((segment) => (segment.kind === 'proof' ? segment.proof.kind : segment.kind))).toEqual([
      'certificate',
      'data',
      'part',
      'data',
      'part',
      'data',
      'part',
      'seek-table',
    ]);
    const table = [...readContainer(whole)].at(-1)!;
    expect(table).toMatchObject({ entries: { length: 7, 0: { compressed: certificateProof.length, decompressed: 0 } } });
  });

  test('cut off anywhere yields what is whole before it, then says so', () => {
    const ends = [...readContainer(whole)].map((segment) => segment.offset);
    for (let length = 1; length < whole.length; length += 11) {
      if (ends.includes(length)) continue;
      const seen: number[] = [];
      expect(() => {
        for (const segment of readContainer(whole.subarray(0, length))) seen.push(segment.offset);
      }).toThrow(expect.objectContaining({ detail: 'cut off' }) as Error);
      expect(seen).toEqual(ends.slice(0, seen.length));
    }
  });

  test('knows the length of a data frame from its block headers alone', () => {
    const bytes = frame('content');
    expect(dataFrameLength(join(bytes, bytes))).toBe(bytes.length);
  });
});
