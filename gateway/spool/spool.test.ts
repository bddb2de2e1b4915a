import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryIngest } from '#runtime/uplink/memory-ingest.js';
import { faultyFiles } from '../testing/faults.js';
import type { Fault, FileCall } from '../testing/faults.js';
import { startRecorder } from '../recorder/start.js';
import type { RecorderConfig, RunningRecorder } from '../recorder/start.js';
import { checkRecording, facts, recordedBytes, textOf, trialClock, trialDeps, trialFolder } from '../testing/recorder.js';

let folder: ReturnType<typeof trialFolder>;
let ingest: MemoryIngest;
let recorder: RunningRecorder | null = null;

beforeEach(async () => {
  folder = trialFolder();
  ingest = new MemoryIngest();
  await ingest.listen();
});
afterEach(async () => {
  await recorder?.close();
  recorder = null;
  await ingest.close();
  folder.remove();
});

const term = { cols: 80, rows: 24 };
const strict = facts();
const bestEffort = facts({ recording: { mode: 'best_effort', streams: 'limited', limit: 1 << 20 } });
const start = async (
  config: Partial<RecorderConfig>,
  deps: Parameters<typeof trialDeps>[1] = {},
  connected = true,
): Promise<RunningRecorder> =>
  (recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1', ...config }, trialDeps(connected ? ingest : null, deps)));

describe("the spool's limit", () => {
  test('a session is asked to pause at the limit, and continues when ingest has stored enough', async () => {
    let stores = false;
    ingest.hooks.stores = () => stores;
    const session = await (await start({ budget: 1 << 20 })).open(strict, term);
    const chunk = Buffer.from('0123456789abcdef'.repeat(2048));
    let sent = 0;
    while (session.output('out', chunk)) sent += chunk.length;
    sent += chunk.length;
    expect(sent).toBeGreaterThan(800 << 10);
    await expect(recorder!.open(strict, term)).rejects.toMatchObject({ code: 'SPOOL_FULL' });
    stores = true;
    // Unacknowledged data is sent again on the next connection.
    await ingest.close();
    await ingest.listen();
    await new Promise<void>((resolve) => session.onReady(resolve));
    for (let more = 0; more < 40; more++) {
      sent += chunk.length;
      if (!session.output('out', chunk)) await new Promise<void>((resolve) => session.onReady(resolve));
    }
    await session.close();
    expect(textOf(checkRecording(await ingest.closedSession(session.session)), 'o')).toHaveLength(sent);
    expect(ingest.faults).toEqual([]);
  });

  test('a best_effort session waits briefly for room, then continues, and records a gap once there is room', async () => {
    let stores = false;
    ingest.hooks.stores = () => stores;
    const clock = trialClock();
    const session = await (await start({ budget: 1 << 20 }, { clock })).open(bestEffort, term);
    const other = await recorder!.open(strict, term);
    const chunk = Buffer.from('0123456789abcdef'.repeat(2048));
    let kept = 0;
    do kept += chunk.length;
    while (session.output('out', chunk));
    let waits = true;
    session.onReady(() => {
      waits = false;
    });
    clock.advance(1_900);
    expect(session.output('out', chunk)).toBe(false);
    kept += chunk.length;
    expect(waits).toBe(true);
    clock.advance(100);
    expect(session.output('out', chunk)).toBe(true);
    kept += chunk.length;
    expect(waits).toBe(false);
    expect(session.output('out', Buffer.from('lost'))).toBe(true);
    await new Promise<void>((resolve) => session.onReady(resolve));
    stores = true;
    await ingest.close();
    await ingest.listen();
    await new Promise<void>((resolve) => other.onReady(resolve));
    clock.advance(1_000);
    expect(session.output('out', Buffer.from('after'))).toBe(true);
    await Promise.all([session.close(), other.close()]);
    const parsed = checkRecording(await ingest.closedSession(session.session));
    expect(textOf(parsed, 'o')).toHaveLength(kept + 'after'.length);
    expect(parsed.lines.filter(({ code }) => code === 'g')).toEqual([
      expect.objectContaining({ data: { reason: 'recorder_failed', bytes: 4 } }),
    ]);
    await ingest.when(() =>
      ['recording.lost', 'recording.resumed'].every((event) => [...ingest.events.values()].some((row) => row['event'] === event)),
    );
  });

  test('a session far larger than the limit passes through', async () => {
    const session = await (await start({ budget: 2 << 20 })).open(strict, term);
    const chunk = Buffer.from('line of output\r\n'.repeat(2048));
    let sent = 0;
    for (let i = 0; i < 400; i++) {
      sent += chunk.length;
      if (!session.output('out', chunk)) await new Promise<void>((resolve) => session.onReady(resolve));
      expect(recorder!.status().spoolBytes).toBeLessThan(2 << 20);
    }
    await session.close();
    const recording = await ingest.closedSession(session.session);
    expect(recordedBytes(recording).length).toBeGreaterThan(sent);
    checkRecording(recording);
    expect(recording.parts.length).toBeGreaterThan(20);
  });
});

describe('a disk that refuses', () => {
  const table: readonly (readonly [string, Exclude<Fault, null>['kind'], string])[] = [
    ['no room left, nothing written', 'fail', 'ENOSPC'],
    ['no room left in the middle of a write', 'fail midway', 'ENOSPC'],
    ['a write that was done but reported failed', 'fail after', 'EIO'],
  ];
  for (const [name, kind, code] of table) {
    test(`${name}: strict fails at once, and the recording ends before the failed write`, async () => {
      let fault: Fault = null;
      const files = faultyFiles((call: FileCall, path) => (call === 'write' && path.endsWith('.cast') ? fault : null));
      const session = await (await start({}, { files })).open(strict, term);
      session.output('out', Buffer.from('shown'));
      const failed = new Promise<string>((resolve) => session.onFailure((error) => resolve(error.code)));
      fault = { kind, code };
      expect(session.output('out', Buffer.from('not shown'))).toBe(false);
      expect(await failed).toBe(code === 'ENOSPC' ? 'SPOOL_FULL' : 'RECORDING_IMPOSSIBLE');
      fault = null;
      await session.close();
      const parsed = checkRecording(await ingest.closedSession(session.session));
      expect(textOf(parsed, 'o')).toBe('shown');
      expect(parsed.lines.at(-1)).toMatchObject({ code: 'g', data: { reason: 'recorder_failed', bytes: 9 } });
      expect(ingest.recordings.get(session.session)!.parts.at(-1)!.checkpoint.end).toBe('interrupted');
      await ingest.when(() => [...ingest.events.values()].some((row) => row['event'] === 'recording.failed'));
    });

    test(`${name}: best effort continues, and records a gap once it can`, async () => {
      let fault: Fault = null;
      const clock = trialClock();
      const files = faultyFiles((call: FileCall, path) => (call === 'write' && path.endsWith('.cast') ? fault : null));
      const session = await (await start({}, { files, clock })).open(bestEffort, term);
      session.output('out', Buffer.from('before '));
      fault = { kind, code };
      expect(session.output('out', Buffer.from('lost'))).toBe(true);
      expect(session.output('out', Buffer.from('lost too'))).toBe(true);
      fault = null;
      clock.advance(1_000);
      expect(session.output('out', Buffer.from('after'))).toBe(true);
      await session.close();
      const parsed = checkRecording(await ingest.closedSession(session.session));
      // The total covers all output that was shown, written or not.
      const sha256 = createHash('sha256').update('before lostlost tooafter').digest('hex');
      expect(parsed.lines.map(({ data }) => data)).toEqual([
        'before ',
        { reason: 'recorder_failed', bytes: 12 },
        'after',
        { fact: 'total', stream: 'out', bytes: 24, sha256 },
      ]);
      await ingest.when(() => [...ingest.events.values()].some((row) => row['event'] === 'recording.resumed'));
    });
  }

  test('a strict session that cannot be recorded does not begin, and its number is accounted for', async () => {
    let broken = true;
    const files = faultyFiles((call, path) => (broken && call === 'open' && path.endsWith('.cast') ? { kind: 'fail', code: 'EIO' } : null));
    await expect((await start({}, { files })).open(strict, term)).rejects.toMatchObject({ code: 'RECORDING_IMPOSSIBLE' });
    const unrecorded = await recorder!.open(bestEffort, term);
    expect(unrecorded.output('out', Buffer.from('x'))).toBe(true);
    broken = false;
    const session = await recorder!.open(strict, term);
    await session.close();
    expect(checkRecording(await ingest.closedSession(session.session)).header.steno.counter).toBe(3);
    const rows = (): string[] => [...ingest.events.values()].map((row) => `${row['event'] as string} ${row['data'] as string}`).sort();
    await ingest.when(() => ingest.events.size === 2);
    expect(rows()).toEqual(['recording.impossible {"counter":1}', 'recording.lost {"counter":2}']);
  });

  test('an end that the disk refuses is written as soon as the disk accepts it', async () => {
    let fault: Fault = null;
    const clock = trialClock();
    const files = faultyFiles((call, path) => (call === 'write' && path.endsWith('.state') ? fault : null));
    const session = await (await start({}, { files, clock })).open(strict, term);
    session.output('out', Buffer.from('shown'));
    fault = { kind: 'fail midway', code: 'ENOSPC' };
    await session.close();
    expect(recorder!.status()).toMatchObject({ openSessions: 1, unstored: 1 });
    fault = null;
    clock.advance(2_000);
    const recording = await ingest.closedSession(session.session);
    expect(textOf(checkRecording(recording), 'o')).toBe('shown');
  });

  test('a sync that fails ends a strict session', async () => {
    const files = faultyFiles((call, path) => (call === 'sync' && path.endsWith('.cast') ? { kind: 'fail', code: 'EIO' } : null));
    const session = await (await start({}, { files })).open(strict, term);
    session.output('out', Buffer.from('x'));
    const error = await new Promise<{ code: string }>((resolve) => session.onFailure(resolve));
    expect(error.code).toBe('RECORDING_IMPOSSIBLE');
  });
});

test('a recording that ingest refuses permanently is quarantined and audited', async () => {
  ingest.hooks.refuseOpen = () => 'UPLINK_CHAIN_BROKEN';
  const session = await (await start({})).open(strict, term);
  await session.close();
  await ingest.when(() => [...ingest.events.values()].some((row) => row['event'] === 'recording.quarantined'));
  expect(readdirSync(`${folder.path}/quarantine`).sort()).toEqual([`${session.session}.cast`, `${session.session}.state`]);
  expect(recorder!.status()).toMatchObject({ unstored: 0, spoolBytes: 0 });
});

test.skipIf(process.platform !== 'linux')('idle sessions hold at most a few hundred descriptors', async () => {
  await start({}, {}, false);
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 400; i++) (await recorder!.open(strict, term)).output('out', Buffer.from('$ '));
  await recorder!.settled();
  expect(readdirSync('/proc/self/fd').length - before).toBeLessThan(300);
});

test.skipIf(process.platform !== 'linux')('ended sessions hold no descriptors, even before ingest has stored them', async () => {
  await start({}, {}, false);
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 100; i++) {
    const session = await recorder!.open(strict, term);
    session.output('out', Buffer.from('$ '));
    await session.close();
  }
  await recorder!.settled();
  expect(recorder!.status().unstored).toBe(100);
  expect(readdirSync('/proc/self/fd').length - before).toBeLessThan(10);
});
