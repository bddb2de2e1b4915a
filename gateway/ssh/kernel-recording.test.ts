import { expect, it } from 'vitest';
import type { StenoError } from '#schemas/errors.js';
import { ORDER_VARIABLE, REPORT_PREFIX, REPORT_SIGNAL, kernelOrder } from '#schemas/kernel.js';
import { sessionId } from '#schemas/recording/line.js';
import { SshReader } from '#schemas/ssh/wire.js';
import type { AuditEntry, SessionRecorder } from '../recorder/recorder.js';
import { KernelRecording } from './kernel-recording.js';

const session = sessionId(1_000_000, new Uint8Array(10));

function begin(mode: 'off' | 'best_effort' | 'strict', agent = true) {
  const written: object[] = [];
  const audits: AuditEntry[] = [];
  const failures: StenoError[] = [];
  let now = 1_000_250;
  const recorder = {
    session,
    fact: (fact: object) => void written.push(fact),
    gap: (gap: object) => void written.push(gap),
  } as unknown as SessionRecorder;
  const recording = KernelRecording.begin(
    { enhanced: { mode, classes: ['exec'] }, agent, now: () => now, delayMs: 12.3, audit: (entry) => void audits.push(entry) },
    recorder,
    (error) => void failures.push(error),
  );
  const report = (what: unknown): boolean =>
    recording!.takes(REPORT_SIGNAL, `${REPORT_PREFIX}${typeof what === 'string' ? what : JSON.stringify(what)}`);
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

it('orders nothing where nothing is to be recorded, or nobody would understand', () => {
  expect(begin('off').recording).toBeNull();
  expect(begin('strict', false).recording).toBeNull();
});

it('gives an order that says which session, since when, and how late it may be', () => {
  const reader = new SshReader(Buffer.from(begin('strict').recording!.order(7)), 'BAD_REQUEST');
  reader.byte('the type');
  expect([reader.uint32('the channel'), reader.utf8('the request', 64), reader.byte('the flag'), reader.utf8('the name', 64)]).toEqual([
    7,
    'env',
    0,
    ORDER_VARIABLE,
  ]);
  expect(kernelOrder.parse(JSON.parse(reader.utf8('the value', 4096)))).toEqual({
    session,
    mode: 'strict',
    classes: ['exec'],
    offset_ms: 250,
    error_ms: 13,
  });
});

it('writes what the node reports into the recording', () => {
  const { recording, written, report, later, failures, audits } = begin('strict');
  recording!.order(0);
  expect(recording!.ready).toBe(false);
  later(8);
  expect(report({ state: 'on', classes: ['exec'] })).toBe(true);
  expect(recording!.ready).toBe(true);
  expect(report({ state: 'gap', why: 'ring_full', count: 5, first_ms: 10, last_ms: 20 })).toBe(true);
  expect(written).toEqual([
    { fact: 'kernel', classes: ['exec'], error_ms: 8 },
    { reason: 'kernel_events', count: 5, from: 10, to: 20, detail: 'ring_full' },
  ]);
  expect([failures, audits]).toEqual([[], []]);
});

it.each([
  ['the node cannot', { state: 'off', reason: 'no BTF' }],
  ['nobody understands the report', 'no json'],
  ['a report of another kind', { state: 'maybe' }],
  ['numbers that are none', { state: 'gap', why: 'ring_full', count: -1, first_ms: 0, last_ms: 0 }],
])('%s: a gap and an audit row, and the end of a strict session', (_what, what) => {
  for (const mode of ['strict', 'best_effort'] as const) {
    const { report, written, audits, failures } = begin(mode);
    expect(report(what)).toBe(true);
    expect(written).toMatchObject([{ reason: 'kernel_events' }]);
    expect(audits).toMatchObject([
      { event: mode === 'strict' ? 'kernel_recording.impossible' : 'kernel_recording.lost', outcome: 'failure', session },
    ]);
    expect(failures.map(({ code }) => code)).toEqual(mode === 'strict' ? ['KERNEL_RECORDING_IMPOSSIBLE'] : []);
  }
});

it('a node that shows something before it has said that it records ends a strict session', () => {
  const { recording, failures } = begin('strict');
  recording!.unready();
  expect(failures).toHaveLength(1);
});

it('a program that ended by a signal is no report', () => {
  const { recording } = begin('strict');
  expect(recording!.takes(REPORT_SIGNAL, '')).toBe(false);
  expect(recording!.takes('KILL', `${REPORT_PREFIX}{}`)).toBe(false);
});
