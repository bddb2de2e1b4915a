/** Two ingests over the same stores: both never seal the same session, and an ingest that dies while sealing is replaced. */
import { join } from 'node:path';
import type { Kysely } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { recordingPrefix, sealedKey } from '#schemas/recording/layout.js';
import type { Running } from '#runtime/service/process.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { underLease } from '#stores/leases/keeper.js';
import type { Alone } from '#stores/leases/keeper.js';
import { SqlLeases } from '#stores/leases/sql.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { FaultyObjectStore } from '#stores/objects/faulty.js';
import { openState } from '#stores/state/open.js';
import type { StateSchema } from '#stores/state/schema.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { startIngest } from '../main.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../testing/gateway.js';

const LEASE_MS = 60_000;

/** An object store that waits before it puts a sealed object, when told to. */
class Gated extends FaultyObjectStore {
  gate: Promise<void> | undefined;
  #reached: (() => void) | undefined;
  readonly reached = new Promise<void>((resolve) => {
    this.#reached = resolve;
  });

  override async put(...[key, bytes, options]: Parameters<FaultyObjectStore['put']>): Promise<void> {
    if (this.gate !== undefined && key.endsWith(sealedKey(''))) {
      this.#reached?.();
      await this.gate;
    }
    return super.put(key, bytes, options);
  }
}

const recording = new RecordingAuthority();
const identity = recording.certify('gw-1');
const clock = { now: 1_700_000_000_000 };
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let services: ServiceAuthority;
let events: EventStore;
let state: Kysely<StateSchema>;
const running: Running[] = [];

beforeEach(async () => {
  folder = await temporaryFolder();
  services = await ServiceAuthority.create();
  events = await openEventStore({ kind: 'chdb', path: join(folder.path, 'events') });
  state = await openState({ kind: 'sqlite', file: join(folder.path, 'state.sqlite') });
});
afterEach(async () => {
  for (const ingest of running.splice(0)) await ingest.close();
  await events.close();
  await state.destroy();
  await folder.remove();
});

interface Ingest {
  readonly objects: Gated;
  readonly address: string;
  /** The outcomes of attempts to seal; `next` waits for one more. */
  readonly outcomes: string[];
  next(): Promise<string>;
}

async function ingestNamed(name: string): Promise<Ingest> {
  const objects = new Gated(await openDirectoryStore(join(folder.path, 'objects')));
  const leases = new SqlLeases(state, async () => clock.now);
  const outcomes: string[] = [];
  const waiting: ((outcome: string) => void)[] = [];
  const tell = (outcome: string): void => {
    outcomes.push(outcome);
    for (const resolve of waiting.splice(0)) resolve(outcome);
  };
  const alone: Alone = async (lease, work) => {
    try {
      const outcome = await underLease(leases, lease, { holder: name, ttlMs: LEASE_MS }, work);
      tell(outcome.kind);
      return outcome;
    } catch (error) {
      tell((error as { code: string }).code);
      throw error;
    }
  };
  const ingest = await startIngest(
    { listen: '127.0.0.1:0' },
    {
      tls: await services.certify(`ingest/${name}`),
      guard: () => undefined,
      objects,
      events,
      snapshot: () => ({ recording_ca: [recording.line], recording_ca_retired: [] }),
      log: quiet,
      clock: Date.now,
      alone,
      retry: { firstWait: 1, longestWait: 10 },
    },
  );
  running.push(ingest);
  return {
    objects,
    address: ingest.addresses['uplink']!,
    outcomes,
    next: () => new Promise((resolve) => waiting.push(resolve)),
  };
}

/** A session that the ingest has stored, paused before its sealed object is put. */
async function sealing(one: Ingest): Promise<{ readonly session: string; readonly key: string; readonly release: () => void }> {
  let release = (): void => undefined;
  one.objects.gate = new Promise((resolve) => {
    release = resolve;
  });
  const client = await UplinkClient.connect(one.address, await services.certify('gateway/gw-1'), identity);
  const recorder = new Recorder(identity);
  for (let i = 0; i < 200; i += 1) recorder.output(3, `line ${i}\r\n`);
  recorder.line(1, { code: 'x', data: '0' }).close();
  await client.deliver(recorder.session, recorder.made);
  await client.close();
  await one.objects.reached;
  return { session: recorder.session, key: sealedKey(recordingPrefix(recorder.session, recorder.header.steno.started_at)), release };
}

const damaged = async (): Promise<number> => (await events.audit({ event: 'recording.damaged', limit: 10 })).rows.length;

test('what one seals the other leaves alone', async () => {
  const one = await ingestNamed('one');
  const { session, release } = await sealing(one);
  const other = await ingestNamed('other');
  expect(await other.next()).toBe('held elsewhere');
  expect([other.objects.faults.calls('put'), other.objects.faults.calls('delete')]).toEqual([0, 0]);
  const done = one.next();
  release();
  expect(await done).toBe('done');
  expect((await events.session(session))?.state).toBe('sealed');
  expect(await damaged()).toBe(0);
});

test('one that stands still for longer than its lease is replaced, and does nothing when it goes on', async () => {
  const one = await ingestNamed('one');
  const { session, key, release } = await sealing(one);
  clock.now += LEASE_MS;
  const other = await ingestNamed('other');
  expect(await other.next()).toBe('done');
  expect((await events.session(session))?.state).toBe('sealed');
  const sealed = await other.objects.get(key);
  const lost = one.next();
  const deleted = one.objects.faults.calls('delete');
  release();
  expect(await lost).toBe('LEASE_LOST');
  expect(one.objects.faults.calls('delete')).toBe(deleted);
  // Sealing is a function of the parts: an object put again is the same.
  expect(Buffer.compare(await other.objects.get(key), sealed)).toBe(0);
  expect(await damaged()).toBe(0);
});
