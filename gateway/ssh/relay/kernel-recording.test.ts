import { expect, it } from 'vitest';
import type { StenoError } from '#schemas/base/errors.js';
import { ORDER_REQUEST, ORDER_VARIABLE, REPORT_PREFIX, REPORT_SIGNAL, orderRequest, orderVariable } from '#schemas/kernel/orders.js';
import { sessionId } from '#schemas/recording/line.js';
import { SshReader } from '#schemas/ssh/wire.js';
import type { AuditEntry, SessionRecorder } from '../../recorder/recorder.js';
import { KernelRecording } from './kernel-recording.js';

const session = sessionId(1_000_000, new Uint8Array(10));

const way = { gateway: 'gw-1', address: '127.0.0.1:8024' };

function begin(mode: 'off' | 'best_effort' | 'strict', { agent = true, requests = true, logs = false } = {}) {
  const written: object[] = [];
  const audits: AuditEntry[] = [];
  const failures: StenoError[] = [];
  let now = 1_000_250;
  const recorder = {
    session,
    fact: (fact: object) => void written.push(fact),
    gap: (gap: object) => void written.push(gap),
    logEvents: () => true,
  } as unknown as SessionRecorder;
  const recording = KernelRecording.begin(
    {
      enhanced: { mode, classes: ['exec'] },
      agent,
      requests,
      events: logs ? way : null,
      now: () => now,
      delayMs: 12.3,
      audit: (entry) => void audits.push(entry),
    },
    recorder,
    (error) => void failures.push(error),
  );
  const report = (what: unknown): void => {
    const text = typeof what === 'string' ? what : JSON.stringify(what);
    if (requests) recording!.takesRequest(text);
    else expect(recording!.takesSignal(REPORT_SIGNAL, `${REPORT_PREFIX}${text}`)).toBe(true);
  };
  return {
    recording,
    written,
    audits,
    failures,
    report,
    later: (ms: number) => {
      now += ms;
    },
  };
}

it('orders nothing if nothing is to be recorded, or if the node would not understand', () => {
  expect(begin('off').recording).toBeNull();
  expect(begin('strict', { agent: false }).recording).toBeNull();
});

const said = { session, mode: 'strict', classes: ['exec'], offset_ms: 250, error_ms: 13 };

it('sends an order with the session, its start, the error of that time, and the accepted reports', () => {
  const [message, ...more] = begin('strict').recording!.orders(7);
  const reader = new SshReader(Buffer.from(message!), 'BAD_REQUEST');
  reader.byte('the type');
  expect([more.length, reader.uint32('the channel'), reader.utf8('the request', 64), reader.byte('the flag')]).toEqual([
    0,
    7,
    ORDER_REQUEST,
    0,
  ]);
  expect(orderRequest.parse(JSON.parse(reader.utf8('the order', 4096)))).toEqual({ ...said, reports: ['read'] });
  reader.end('the request');
});

it('sends the order to an older node service in the older form', () => {
  const orders = begin('strict', { requests: false }).recording!.orders(7);
  expect(orders).toHaveLength(2);
  const reader = new SshReader(Buffer.from(orders[1]!), 'BAD_REQUEST');
  reader.byte('the type');
  expect([reader.uint32('the channel'), reader.utf8('the request', 64), reader.byte('the flag'), reader.utf8('the name', 64)]).toEqual([
    7,
    'env',
    0,
    ORDER_VARIABLE,
  ]);
  expect(orderVariable.parse(JSON.parse(reader.utf8('the value', 4096)))).toEqual(said);
});

it('tells the node where rows are signed, and records this once the node confirms it', () => {
  const { recording, report, written } = begin('strict', { logs: true });
  const [order] = recording!.orders(7);
  const reader = new SshReader(Buffer.from(order!), 'BAD_REQUEST');
  reader.byte('the type');
  reader.uint32('the channel');
  expect(reader.utf8('the request', 64)).toBe(ORDER_REQUEST);
  reader.byte('the flag');
  expect(orderRequest.parse(JSON.parse(reader.utf8('the value', 4096))).events).toEqual(way);
  report({ state: 'on', classes: ['exec'], log: true });
  expect(written).toEqual([{ fact: 'kernel', classes: ['exec'], error_ms: 1, log: true }]);
});

it('names no log if the node does not support one, or was not offered one', () => {
  for (const [options, more] of [
    [{ logs: true }, {}],
    [{ logs: false }, { log: true }],
    [{ logs: true, requests: false }, { log: true }],
  ] as const) {
    const one = begin('strict', options);
    one.recording!.orders(0);
    one.report({ state: 'on', classes: ['exec'], ...more });
    expect(one.written).toEqual([{ fact: 'kernel', classes: ['exec'], error_ms: 1 }]);
  }
});

it.each([true, false])("writes the node's reports into the recording (by requests: %s)", (requests) => {
  const { recording, written, report, later, failures, audits } = begin('strict', { requests });
  recording!.orders(0);
  expect(recording!.ready).toBe(false);
  later(8);
  report({ state: 'on', classes: ['exec'] });
  expect(recording!.ready).toBe(true);
  report({ state: 'gap', why: 'ring_full', count: 5, first_ms: 10, last_ms: 20 });
  expect(written).toEqual([
    { fact: 'kernel', classes: ['exec'], error_ms: 8 },
    { reason: 'kernel_events', count: 5, from: 10, to: 20, detail: 'ring_full' },
  ]);
  expect([failures, audits]).toEqual([[], []]);
});

it.each([
  ['the node cannot record', { state: 'off', reason: 'no BTF' }],
  ['a report that is not JSON', 'no json'],
  ['a report of another kind', { state: 'maybe' }],
  ['a report with invalid numbers', { state: 'gap', why: 'ring_full', count: -1, first_ms: 0, last_ms: 0 }],
])('%s: a gap and an audit row, and the end of a strict session', (_what, what) => {
  for (const mode of ['strict', 'best_effort'] as const) {
    const { report, written, audits, failures } = begin(mode);
    report(what);
    expect(written).toMatchObject([{ reason: 'kernel_events' }]);
    expect(audits).toMatchObject([
      { event: mode === 'strict' ? 'kernel_recording.impossible' : 'kernel_recording.lost', outcome: 'failure', session },
    ]);
    expect(failures.map(({ code }) => code)).toEqual(mode === 'strict' ? ['KERNEL_RECORDING_IMPOSSIBLE'] : []);
  }
});

it('output before the node reports that it records ends a strict session', () => {
  const { recording, failures } = begin('strict');
  recording!.unready();
  expect(failures).toHaveLength(1);
});

it.each(['strict', 'best_effort'] as const)('a node that never reports that it records leaves a gap (%s)', (mode) => {
  const { recording, written, failures } = begin(mode);
  recording!.orders(0);
  recording!.complete();
  expect(written).toEqual([{ reason: 'kernel_events', detail: 'the node did not report that it records' }]);
  expect(failures).toHaveLength(mode === 'strict' ? 1 : 0);
});

it('a report counts only in the agreed form, and a program ended by a signal is not a report', () => {
  const on = JSON.stringify({ state: 'on', classes: ['exec'] });
  const now = begin('strict').recording!;
  expect([now.takesSignal(REPORT_SIGNAL, `${REPORT_PREFIX}${on}`), now.ready]).toEqual([false, false]);
  const before = begin('strict', { requests: false }).recording!;
  before.takesRequest(on);
  expect([before.takesSignal(REPORT_SIGNAL, ''), before.takesSignal('KILL', `${REPORT_PREFIX}${on}`), before.ready]).toEqual([
    false,
    false,
    false,
  ]);
});

it('a lost node leaves an audit row and a gap after its last complete report; neither is left once its program has ended', () => {
  for (const mode of ['strict', 'best_effort'] as const) {
    const { recording, written, report, later, failures, audits } = begin(mode);
    recording!.orders(0);
    report({ state: 'on', classes: ['exec'] });
    later(5_000);
    report({ state: 'read', until_ms: 4_000 });
    // A report beyond the present time is believed only up to the present.
    later(1_000);
    recording!.lost();
    recording!.lost();
    expect(written.slice(1)).toEqual([{ reason: 'kernel_events', detail: 'the node was lost', from: 4_000, to: 6_250 }]);
    expect(audits).toMatchObject([{ event: 'kernel_recording.lost', outcome: 'failure', session }]);
    expect(failures.length).toBe(mode === 'strict' ? 1 : 0);
  }
  const { recording, written, report, audits } = begin('strict');
  recording!.orders(0);
  report({ state: 'on', classes: ['exec'] });
  recording!.complete();
  recording!.lost();
  expect([written.length, audits]).toEqual([1, []]);
});

it('the end of collection is a gap without an end, from the last complete report on', () => {
  const { recording, written, report, audits } = begin('best_effort');
  recording!.orders(0);
  report({ state: 'on', classes: ['exec'] });
  report({ state: 'read', until_ms: Number.MAX_SAFE_INTEGER });
  report({ state: 'off', reason: 'the collecting thread ended' });
  expect(written.slice(1)).toEqual([{ reason: 'kernel_events', detail: 'the collecting thread ended', from: 250 }]);
  expect(audits).toMatchObject([{ event: 'kernel_recording.lost' }]);
});
