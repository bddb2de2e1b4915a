/** An interrupted rebuild is detected and continues where it stopped. Killing a real process: test/end-to-end/reindex.test.ts. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { recordingPrefix } from '#schemas/recording/layout.js';
import { openZstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { FaultyEventStore } from '#stores/events/faulty.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { startIngest } from '../main.js';
import { Rebuild } from './rebuild.js';
import { RebuildMark, markPath, readMark } from './rebuild-mark.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../testing/gateway.js';

const COUNT = 6;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let objects: ObjectStore;
let fresh: EventStore;
let n = 0;
const sessions: Recorder[] = [];
const path = (): string => markPath(join(folder.path, `store${n}`));
const parts = async (events: EventStore = fresh) => ({ objects, events, zstd: await openZstd(), log: quiet, clock: Date.now });
const listed = async (): Promise<string[]> => (await fresh.sessions({ limit: 100 })).rows.map(({ session }) => session).sort();
const finished = async (rebuild: Rebuild): Promise<void> => {
  while (rebuild.progress()?.failed === false) await new Promise((resolve) => setTimeout(resolve, 10));
};

beforeAll(async () => {
  folder = await temporaryFolder();
  objects = await openDirectoryStore(`${folder.path}/objects`);
  const events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
  const authority = new RecordingAuthority();
  const identity = authority.certify('gw-1');
  const services = await ServiceAuthority.create();
  const ingest = await startIngest(
    { listen: '127.0.0.1:0', repack: false },
    {
      tls: await services.certify('ingest/local'),
      guard: () => undefined,
      objects,
      events,
      snapshot: () => ({ recording_ca: [authority.line], recording_ca_retired: [] }),
      log: quiet,
      clock: Date.now,
    },
  );
  const client = await UplinkClient.connect(ingest.addresses['uplink']!, await services.certify('gateway/gw-1'), identity);
  for (let i = 0; i < COUNT; i++) {
    const recorder = new Recorder(identity, { startedAt: Date.UTC(2026, 0, 1 + i) }).output(5, `word${i}\r\n`).close();
    sessions.push(recorder);
    await client.deliver(recorder.session, recorder.made);
  }
  await client.close();
  await ingest.close();
  await events.close();
});
afterAll(() => folder.remove());
beforeEach(async () => {
  n += 1;
  await fresh?.close();
  fresh = await openEventStore({ kind: 'chdb', path: `${folder.path}/events${n}` });
  return async () => undefined;
});
afterAll(() => fresh?.close());

const all = (): string[] => sessions.map(({ session }) => session).sort();
const prefixes = (): string[] => sessions.map(({ session, header }) => recordingPrefix(session, header.steno.started_at));

test('an empty event store beside recordings is noticed, marked before the first row, and rebuilt', async () => {
  const rebuild = await Rebuild.look(await parts(), path());
  expect(readMark(path())).toMatchObject({ last: '', done: 0, lost: true });
  expect(rebuild.progress()).toMatchObject({ done: 0, lost: true, failed: false });
  rebuild.start();
  await finished(rebuild);
  expect(await listed()).toEqual(all());
  expect([rebuild.progress(), existsSync(path())]).toEqual([null, false]);
  const audit = await fresh.audit({ event: 'events.rebuilt' });
  expect(audit.rows).toMatchObject([
    {
      outcome: 'success',
      reason: expect.stringContaining('earlier audit rows, and kernel events of sessions without an event log') as string,
    },
  ]);
  // Nothing is left to do.
  expect((await Rebuild.look(await parts(), path())).progress()).toBeNull();
});

test('whatever insert it breaks at, the mark stays, names what is there, and the next one does the rest', async () => {
  for (let call = 1; call <= 3 * COUNT; call += 4) {
    n += 1;
    await fresh.close();
    fresh = await openEventStore({ kind: 'chdb', path: `${folder.path}/events${n}` });
    const faulty = new FaultyEventStore(fresh);
    const broken = await Rebuild.look(await parts(faulty), path());
    for (let i = 1; i < call; i++) faulty.faults.hold('insert').release();
    faulty.faults.failBefore('insert', 1000);
    broken.start();
    await finished(broken);
    expect(broken.progress(), String(call)).toMatchObject({ failed: true });
    await broken.close();
    expect(readMark(path())).not.toBeNull();
    const next = await Rebuild.look(await parts(), path());
    next.start();
    await finished(next);
    expect(await listed(), String(call)).toEqual(all());
    expect(readMark(path())).toBeNull();
  }
});

test('goes on behind the recordings that were done, and from the start when their rows are gone', async () => {
  const first = await RebuildMark.begin(path(), await parts());
  const { reindex } = await import('./reindex.js');
  for (const prefix of prefixes().slice(0, 3)) {
    await reindex(await parts(), prefix, 'a');
    first.advance(prefix);
  }
  writeFileSync(path(), JSON.stringify(first.state));
  const second = await RebuildMark.begin(path(), await parts());
  expect(prefixes().map((prefix) => second.isDone(prefix))).toEqual([true, true, true, false, false, false]);
  expect(second.state.lost).toBe(true);
  // The same mark next to another event store.
  n += 1;
  await fresh.close();
  fresh = await openEventStore({ kind: 'chdb', path: `${folder.path}/events${n}` });
  writeFileSync(markPath(`${folder.path}/store${n - 1}`), JSON.stringify(first.state));
  const third = await RebuildMark.begin(markPath(`${folder.path}/store${n - 1}`), await parts());
  expect(third.isDone(prefixes()[0]!)).toBe(false);
});

test('a mark that cannot be read is an unfinished rebuild', async () => {
  await RebuildMark.begin(path(), await parts());
  writeFileSync(path(), readFileSync(path()).subarray(0, 5));
  expect(readMark(path())).toMatchObject({ last: '', done: 0 });
});

test('a damaged recording is named and does not stop the others', async () => {
  const key = `${prefixes()[2]}part-000001.cast.zst`;
  const bytes = await objects.get(key);
  await objects.delete(key);
  await objects.put(key, Buffer.from('damaged!'));
  const rebuild = await Rebuild.look(await parts(), path());
  rebuild.start();
  await finished(rebuild);
  expect(await listed()).toEqual(all().filter((session) => session !== sessions[2]!.session));
  expect((await fresh.audit({ event: 'events.rebuilt' })).rows).toMatchObject([
    { outcome: 'failure', data: expect.stringContaining('"skipped":1') as string },
  ]);
  await objects.delete(key);
  await objects.put(key, bytes);
});
