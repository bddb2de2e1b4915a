import { expect, it } from 'vitest';
import { isOwnVariable, kernelReport, orderRequest, orderVariable, ORDER_VARIABLE, parsedText, PROGRESS_VARIABLE } from './orders.js';

const order = { session: '01jd0000000000000000000000', mode: 'strict', classes: ['exec'], offset_ms: 0, error_ms: 1 } as const;

it('older node services ignore new fields and words of an order', () => {
  expect(orderRequest.parse({ ...order, reports: ['read', 'later'], later: { more: 1 } })).toEqual({
    ...order,
    reports: ['read', 'later'],
  });
  expect(orderRequest.parse(order)).toEqual({ ...order, reports: [] });
});

it('an order in the older form is unchanged', () => {
  expect(orderVariable.parse(order)).toEqual(order);
  expect(orderVariable.safeParse({ ...order, reports: [] }).success).toBe(false);
});

it.each([
  ['no classes', { classes: [] }],
  ['an unknown class', { classes: ['all'] }],
  ['another mode', { mode: 'off' }],
  ['a moment before the session', { offset_ms: -1 }],
  ['an invalid session id', { session: 'x' }],
  ['too many words', { reports: Array.from({ length: 33 }, () => 'x') }],
])('an order with %s is refused', (_what, change) => expect(orderRequest.safeParse({ ...order, ...change }).success).toBe(false));

it('a report accepts new fields and new reasons of gaps', () => {
  const gap = { state: 'gap', why: 'a_later_reason', count: 1, first_ms: 0, last_ms: 0 } as const;
  expect(kernelReport.parse({ ...gap, more: 1 })).toEqual(gap);
});

it.each([
  { state: 'on' },
  { state: 'off' },
  { state: 'maybe' },
  { state: 'gap', why: 'With a space', count: 1, first_ms: 0, last_ms: 0 },
  { state: 'gap', why: 'cut', count: 0, first_ms: 0, last_ms: 0 },
  { state: 'read', until_ms: -1 },
])('%j is not a valid report', (report) => expect(kernelReport.safeParse(report).success).toBe(false));

it('names of the older form are reserved for gateways, and text that is not JSON gives null', () => {
  expect([ORDER_VARIABLE, PROGRESS_VARIABLE, 'x@steno', 'LANG', 'x@stenos'].map(isOwnVariable)).toEqual([true, true, true, false, false]);
  expect(parsedText('{')).toBeNull();
});

it('the order names the gateway that signs rows; an unreadable address is ignored without refusing the order', () => {
  const events = { gateway: 'gw-1', address: '10.0.0.1:8024' };
  expect(orderRequest.parse({ ...order, events }).events).toEqual(events);
  for (const bad of [{}, { ...events, gateway: '../x' }, { ...events, more: 1 }, 'gw-1', null])
    expect(orderRequest.parse({ ...order, events: bad }).events).toBeUndefined();
});
