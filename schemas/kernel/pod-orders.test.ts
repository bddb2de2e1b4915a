import { expect, it } from 'vitest';
import { sessionId } from '../recording/line.js';
import { podOrder, podWord, startedReport } from './pod-orders.js';

const order = {
  ...{ session: sessionId(1, new Uint8Array(10)), mode: 'strict', classes: ['exec'], offset_ms: 0, error_ms: 1, reports: [] },
  ...{ container: 'a'.repeat(64), pod_uid: 'uid', namespace: 'n', pod: 'p', argv: ['sh'] },
};

it('orders are accepted with unknown words, but not without a container', () => {
  expect(podOrder.parse({ ...order, later: 1 })).toEqual(order);
  expect(podOrder.parse({ ...order, argv: [] }).argv).toEqual([]);
  for (const wrong of [
    { container: '../x' },
    { container: 'A'.repeat(64) },
    { argv: [1] },
    { argv: Array(1_025).fill('') },
    { session: 'x' },
  ])
    expect(podOrder.safeParse({ ...order, ...wrong }).success).toBe(false);
});

it('messages in between consist of one word', () => {
  expect(podWord.safeParse({ said: 'shown' }).success).toBe(true);
  expect(podWord.safeParse({ said: 'other' }).success).toBe(false);
  expect(startedReport.safeParse({ state: 'started' }).success).toBe(true);
  expect(startedReport.safeParse({ state: 'on' }).success).toBe(false);
});
