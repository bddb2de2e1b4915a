import { describe, expect, test } from 'vitest';
import { isUnfinished, logPatience, verifyEventLog } from './event-log-check.js';
import type { RecordingHeader } from './line.js';
import type { Verdict } from './verdict.js';

const headerOf = (session: string, more: Partial<RecordingHeader['steno']> = {}): RecordingHeader =>
  ({ version: 3, steno: { session, gateway: 'gw-1', counter: 7, ...more } }) as RecordingHeader;
const good = (header: RecordingHeader): Verdict => ({ ok: true, header }) as Verdict;
const file = new Uint8Array(1);
const recording = (logged: boolean) => ({ header: headerOf('a'), logged });
const checked = (log: RecordingHeader): Verdict | null => verifyEventLog(recording(true), file, () => good(log));

describe('the log of a recording', () => {
  test('of the same session, gateway and counter is good', () => {
    expect(checked(headerOf('a', { stream: 'events' }))).toMatchObject({ ok: true });
  });

  test.each([
    ['of another session', headerOf('b', { stream: 'events' })],
    ['of another gateway', headerOf('a', { stream: 'events', gateway: 'gw-2' })],
    ['of another counter', headerOf('a', { stream: 'events', counter: 8 })],
    ['that is a recording', headerOf('a')],
  ])('%s is refused, even if it is good by itself', (_, header) => {
    expect(checked(header)).toMatchObject({ ok: false, code: 'VERIFY_ALTERED' });
  });

  test('that does not exist is reported as missing only if the recording names one', () => {
    const none = (): Verdict => expect.fail('nothing to verify');
    expect(verifyEventLog(recording(true), null, none)).toMatchObject({ ok: false, code: 'VERIFY_MISSING_PART' });
    expect(verifyEventLog(recording(false), null, none)).toBeNull();
  });

  test('that is bad keeps its own verdict', () => {
    const bad: Verdict = { ok: false, code: 'VERIFY_REORDERED', detail: 'part 2', block: 3, goodUntil: 5, header: null };
    expect(verifyEventLog(recording(true), file, () => bad)).toBe(bad);
  });
});

test('only a log whose end may still arrive is unfinished', () => {
  const bad = (code: 'VERIFY_MISSING_PART' | 'VERIFY_TRUNCATED' | 'VERIFY_ALTERED'): Verdict => ({
    ok: false,
    code,
    detail: '',
    block: null,
    goodUntil: 0,
    header: null,
  });
  expect([bad('VERIFY_MISSING_PART'), bad('VERIFY_TRUNCATED')].map(isUnfinished)).toEqual([true, true]);
  expect([null, good(headerOf('a')), bad('VERIFY_ALTERED')].map(isUnfinished)).toEqual([false, false, false]);
  expect([logPatience(1_000, 2_000), logPatience(1_000, 121_000)]).toEqual([15_000, 0]);
});
