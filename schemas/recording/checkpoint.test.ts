import { describe, expect, test } from 'vitest';
import { exampleHeader as header } from '../testing/recordings.js';
import { checkpointText, isSignedCheckpoint } from './checkpoint.js';
import type { Checkpoint } from './checkpoint.js';

describe('a checkpoint', () => {
  const checkpoint: Checkpoint = {
    session: header.steno.session,
    gateway: 'gw-1',
    counter: 42,
    block: 17,
    bytes: 81_920,
    at: 61_250,
    time: 1_763_800_000_123,
    head: '9f'.repeat(32),
    end: 'open',
  };
  test('is signed as the text that its specification shows', () => {
    expect(checkpointText(checkpoint)).toBe(
      `steno-checkpoint/1\nsession 01kanar9g0dtjvf0yq516zc20n\ngateway gw-1\ncounter 42\nblock 17\nbytes 81920\nat 61250\ntime 1763800000123\nhead ${'9f'.repeat(32)}\nend open\n`,
    );
  });
  const signed = { ...checkpoint, signature: 'AAAA' };
  test('is recognized', () => expect(isSignedCheckpoint(signed)).toBe(true));
  for (const [name, change] of [
    ['a newline in the gateway', { gateway: 'gw\n1' }],
    ['a negative block', { block: -1 }],
    ['a fraction', { at: 0.5 }],
    ['a head in capitals', { head: '9F'.repeat(32) }],
    ['an end that is none', { end: 'maybe' }],
    ['no signature', { signature: undefined }],
    ['a huge signature', { signature: 'A'.repeat(3000) }],
  ] as const) {
    test(`with ${name} is none`, () => expect(isSignedCheckpoint({ ...signed, ...change })).toBe(false));
  }
});
