import { expect, it } from 'vitest';
import { isOwnVariable, kernelReport, orderRequest, orderVariable, ORDER_VARIABLE, parsedText, PROGRESS_VARIABLE } from './orders.js';

const order = { session: '01jd0000000000000000000000', mode: 'strict', classes: ['exec'], offset_ms: 0, error_ms: 1 } as const;

it('an order grows by fields and words that a node service of before passes over', () => {
  expect(orderRequest.parse({ ...order, reports: ['read', 'later'], later: { more: 1 } })).toEqual({
    ...order,
    reports: ['read', 'later'],
  });
  expect(orderRequest.parse(order)).toEqual({ ...order, reports: [] });
});

it('an order in the form before is exactly what it was', () => {
  expect(orderVariable.parse(order)).toEqual(order);
  expect(orderVariable.safeParse({ ...order, reports: [] }).success).toBe(false);
});

it.each([
  ['no classes', { classes: [] }],
  ['a class that is none', { classes: ['all'] }],
  ['another mode', { mode: 'off' }],
  ['a moment before the session', { offset_ms: -1 }],
  ['the name of no session', { session: 'x' }],
  ['more words than are read', { reports: Array.from({ length: 33 }, () => 'x') }],
])('an order with %s is none', (_what, change) => expect(orderRequest.safeParse({ ...order, ...change }).success).toBe(false));

it('a report grows by fields, and by reasons of gaps', () => {
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
])('%j is no report', (report) => expect(kernelReport.safeParse(report).success).toBe(false));

it('names of the form before are for gateways alone, and what is no JSON is nothing', () => {
  expect([ORDER_VARIABLE, PROGRESS_VARIABLE, 'x@steno', 'LANG', 'x@stenos'].map(isOwnVariable)).toEqual([true, true, true, false, false]);
  expect(parsedText('{')).toBeNull();
});
