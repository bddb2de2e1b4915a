import { readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LAST_ROW } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { exampleKernelRow } from '#schemas/testing/recordings.js';
import { MAX_EVENT_LINE_BYTES } from '#schemas/recording/line.js';
import { MemoryIngest } from '#runtime/uplink/memory-ingest.js';
import type { IngestHooks } from '#runtime/uplink/memory-ingest.js';
import type { EventLog } from './event-logs.js';
import type { SessionRecorder } from './recorder.js';
import { startRecorder } from './start.js';
import type { RunningRecorder } from './start.js';
import { checkRecording, facts, trialDeps, trialFolder } from '../testing/recorder.js';

let folder: ReturnType<typeof trialFolder>;
let hooks: IngestHooks;
let ingest: MemoryIngest;
let recorder: RunningRecorder;
const more: RunningRecorder[] = [];

beforeEach(async () => {
  folder = trialFolder();
  hooks = {};
  ingest = new MemoryIngest(hooks);
  await ingest.listen();
  recorder = await start();
});
afterEach(async () => {
  for (const one of more.splice(0)) await one.close();
  await ingest.close();
  folder.remove();
});

/** `stands`: this recorder's clock stands still, so that it writes nothing on its own, and it sends nothing. */
async function start(stands = false): Promise<RunningRecorder> {
  const deps = stands ? trialDeps(null, { clock: { now: () => Date.now(), monotonic: () => 0 } }) : trialDeps(ingest);
  const one = await startRecorder({ spool: folder.path, gateway: 'gw-1', drainMs: 0 }, deps);
  more.push(one);
  return one;
}
const open = (): Promise<SessionRecorder> => recorder.open(facts(), { cols: 80, rows: 24 });
const row = (session: string, index: number, name = 'true', data = '{"pid":1}'): KernelRow =>
  exampleKernelRow(session, index, { name, data, kind: name === LAST_ROW ? 'kernel' : 'exec' });
const rowsOf = (session: string): unknown[] => {
  const log = ingest.recordings.get(`${session}/events`);
  const lines = Buffer.concat(log?.blocks.map(({ content }) => content) ?? []).toString();
  return lines
    .split('\n')
    .slice(1, -1)
    .map((line) => (JSON.parse(line) as [number, string, unknown[]])[2]);
};
/** Resolves once all of it is stored. */
function stored(log: EventLog, offset: number | null): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!log.isStored(offset!)) return;
      stop();
      resolve();
    };
    const stop = log.watch(look);
    look();
  });
}
const settled = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(() => resolve(false)))]);

test('rows are chained and signed under the number of their session, and acknowledged once they are stored', async () => {
  hooks.stores = () => false;
  const session = await open();
  expect(session.logEvents()).toBe(true);
  const log = (await recorder.eventLogs.find(session.session))!;
  expect(log.node).toBe('web-1');
  const taken = stored(log, log.take([row(session.session, 0), row(session.session, 2, LAST_ROW)]));
  await ingest.when(() => (ingest.recordings.get(`${session.session}/events`)?.parts.length ?? 0) > 0);
  expect(await settled(taken)).toBe(false);
  hooks.stores = () => true;
  // A new connection sends the same checkpoint again.
  recorder.reconnect();
  await taken;
  const recording = await ingest.closedSession(`${session.session}/events`);
  const { header } = checkRecording(recording);
  expect(header.steno).toMatchObject({
    stream: 'events',
    session: session.session,
    counter: 1,
    gateway: 'gw-1',
    node: 'web-1',
    user: 'alice',
  });
  expect(recording.parts.at(-1)!.checkpoint).toMatchObject({ session: session.session, counter: 1, end: 'complete' });
  expect(rowsOf(session.session)).toEqual([row(session.session, 0), row(session.session, 2, LAST_ROW)].map(([, ...fields]) => fields));
  expect(ingest.faults).toEqual([]);
  expect(await recorder.eventLogs.find('0'.repeat(26))).toBeNull();
  // The recording continues, and nothing of the log is left in the spool.
  expect(readdirSync(folder.path).filter((name) => /^[0-9a-z]{26}-events/.test(name))).toEqual([]);
  expect(log.take([row(session.session, 4)])).toBeNull();
  await session.close();
});

test('repeated rows are dropped, even by the process that replaces a killed gateway', async () => {
  await recorder.close();
  recorder = await start(true);
  const session = await open();
  session.logEvents();
  const log = (await recorder.eventLogs.find(session.session))!;
  const rows = Array.from({ length: 3_000 }, (_, i) => row(session.session, 2 * i, 'true', `{"pid":${i}}`));
  log.take(rows.slice(0, 2_000));
  log.take(rows.slice(1_000, 2_100));
  await recorder.settled();
  // The previous recorder is not closed, so rows that it has not written are lost with it.
  recorder = await start();
  const again = (await recorder.eventLogs.find(session.session))!;
  expect(again.node).toBe('web-1');
  const taken = stored(again, again.take([...rows.slice(500), row(session.session, 6_000, LAST_ROW)]));
  await taken;
  const recording = await ingest.closedSession(`${session.session}/events`);
  checkRecording(recording);
  expect(rowsOf(session.session)).toEqual([...rows, row(session.session, 6_000, LAST_ROW)].map(([, ...fields]) => fields));
  expect(recording.parts.length).toBeGreaterThan(1);
  // The recording of the session is separate: it ended with its gateway.
  expect((await ingest.closedSession(session.session)).parts.at(-1)!.checkpoint.end).toBe('interrupted');
});

test('a row longer than a block is a block of its own, even when it is cut again from the file', async () => {
  const session = await open();
  session.logEvents();
  const log = (await recorder.eventLogs.find(session.session))!;
  const long = (n: number): string => JSON.stringify({ x: 'y'.repeat(n) });
  const rows = [
    row(session.session, 0),
    row(session.session, 2, 'true', long(MAX_EVENT_LINE_BYTES - 400)),
    row(session.session, 4, 'true', long(100_000)),
  ];
  hooks.frame = (frame) => (frame.kind === 'checkpoint' && ingest.connections < 3 ? 'drop' : 'go on');
  await stored(log, log.take([...rows, row(session.session, 6, LAST_ROW)]));
  const recording = await ingest.closedSession(`${session.session}/events`);
  expect(Math.max(...recording.blocks.map(({ content }) => content.length))).toBeGreaterThan(900_000);
  expect(rowsOf(session.session)).toEqual([...rows, row(session.session, 6, LAST_ROW)].map(([, ...fields]) => fields));
  expect(ingest.faults).toEqual([]);
});

test('an ingest without support for event logs receives the recordings; the logs wait for one that supports them', async () => {
  await recorder.close();
  hooks.version = 2;
  recorder = await start();
  const session = await open();
  session.logEvents();
  const log = (await recorder.eventLogs.find(session.session))!;
  const taken = stored(log, log.take([row(session.session, 0), row(session.session, 2, LAST_ROW)]));
  await session.close();
  checkRecording(await ingest.closedSession(session.session));
  expect(ingest.recordings.has(`${session.session}/events`)).toBe(false);
  delete hooks.version;
  recorder.reconnect();
  await taken;
  expect(rowsOf(session.session)).toHaveLength(2);
});

test('a request for a log that is about to begin waits for it', async () => {
  const session = await open();
  const asked = recorder.eventLogs.find(session.session);
  session.logEvents();
  expect((await asked)!.node).toBe('web-1');
  await session.close();
});
