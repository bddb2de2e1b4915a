import { expect, it } from 'vitest';
import { DialQueue } from './dial-queue.js';

it('dials one node at most sixteen times at once and in order, and other nodes beside it', async () => {
  const turns = new DialQueue();
  let now = 0;
  let most = 0;
  const order: number[] = [];
  const dials = Array.from({ length: 200 }, (_, i) =>
    turns.with('one', new AbortController().signal, async () => {
      most = Math.max(most, ++now);
      order.push(i);
      await new Promise((resolve) => setImmediate(resolve));
      now -= 1;
      if (i % 7 === 0) throw new Error('no');
      return i;
    }),
  );
  expect(await turns.with('other', new AbortController().signal, () => Promise.resolve('at once'))).toBe('at once');
  const results = await Promise.allSettled(dials);
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(29);
  expect(order).toEqual(Array.from({ length: 200 }, (_, i) => i));
  expect(most).toBe(16);
});

it('does not dial for a connection that has left, or that got no turn in time', async () => {
  const turns = new DialQueue(20);
  const stuck = Array.from({ length: 16 }, () =>
    turns.with('one', new AbortController().signal, () => new Promise<void>((resolve) => setTimeout(resolve, 60))),
  );
  const leaver = new AbortController();
  const left = turns.with('one', leaver.signal, () => Promise.reject(new Error('dialled')));
  const late = turns.with('one', new AbortController().signal, () => Promise.reject(new Error('dialled')));
  leaver.abort();
  await expect(left).rejects.toMatchObject({ code: 'NODE_UNREACHABLE', detail: 'the user disconnected' });
  await expect(late).rejects.toMatchObject({ code: 'NODE_UNREACHABLE' });
  await Promise.all(stuck);
  expect(await turns.with('one', new AbortController().signal, () => Promise.resolve(1))).toBe(1);
});
