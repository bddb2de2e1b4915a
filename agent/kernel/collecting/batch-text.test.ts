import { expect, it } from 'vitest';
import { BATCH_BYTES, BatchMemory, BatchText } from './batch-text.js';

const parsed = (payload: Uint8Array): unknown => JSON.parse(Buffer.from(payload).toString('utf8'));

it('is the array of the rows that were added, whatever characters they hold', () => {
  const text = new BatchText(new BatchMemory(1));
  const rows = [['a', 1, null], ['\u0000"\\', 'Grüße, 世界 🙂'], []];
  for (const row of rows) expect(text.add(row)).toBe(true);
  expect(text.rows).toBe(3);
  const taken = text.take();
  expect(parsed(taken)).toEqual(rows);
  expect(Buffer.from(taken).toString().split('\n')).toHaveLength(3);
});

it('uses memory that came back again, and forgets what was in it', () => {
  const memory = new BatchMemory(1);
  const text = new BatchText(memory);
  text.add(['x'.repeat(1000)]);
  const first = text.take();
  memory.back(first);
  text.add(['y']);
  const second = text.take();
  expect(second.buffer).toBe(first.buffer);
  expect(parsed(second)).toEqual([['y']]);
  expect(text.rows).toBe(0);
});

it('takes no row that would not fit, and all that do', () => {
  const text = new BatchText(new BatchMemory(1));
  const row = ['世'.repeat(20_000)];
  let count = 0;
  while (text.add(row)) count += 1;
  expect(count).toBe(Math.floor(BATCH_BYTES / (Buffer.byteLength(JSON.stringify(row)) + 2)));
  const payload = text.take();
  expect(payload.length).toBeLessThanOrEqual(BATCH_BYTES);
  expect(parsed(payload)).toHaveLength(count);
  expect(text.add(['x'.repeat(BATCH_BYTES)])).toBe(false);
});
