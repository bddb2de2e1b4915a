import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { manifestKey, partKey, recordingPrefix } from '#schemas/recording/layout.js';
import { openZstd } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import type { Running } from '#runtime/service/process.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { FaultyEventStore } from '#stores/events/faulty.js';
import type { EventOperation } from '#stores/events/faulty.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { FaultyObjectStore } from '#stores/objects/faulty.js';
import type { ObjectOperation } from '#stores/objects/faulty.js';
import type { ScreenRow } from '#schemas/events/rows.js';
import { startIngest } from '../main.js';
import { deriveRows } from '../rebuild/reindex.js';
import { Recorder, RecordingAuthority, verifyFile } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../testing/gateway.js';

const recording = new RecordingAuthority();
const identity = recording.certify('gw-1');

/** Three parts, an epoch that ends inside one, pending lines at part ends, and something pending at the end. */
function session(): Recorder {
  const recorder = new Recorder(identity);
  recorder.output(5, '$ ').input(100, 'l').output(2, 'l').input(900, 's').output(2, 's');
  recorder.checkpoint();
  recorder.input(1500, '\r').output(2, '\r\n\x1b[1;31mred\x1b[m\r\n\x1b[5;20r');
  let n = 0;
  for (let i = 0; i < 60; i++) {
    // Bytes that make no rows: colours. Past the bound of an epoch.
    recorder.output(40, `${'\x1b[31m\x1b[m'.repeat(600)}file number ${n++}\r\n`);
  }
  recorder.checkpoint();
  recorder.output(2000, 'after the checkpoint\r\n$ ').input(500, 'x').output(3, 'exit').line(1, { code: 'x', data: '0' });
  return recorder.close();
}

type Store = 'objects' | 'events';
type Mode = 'fail-before' | 'fail-after' | 'crash-before' | 'crash-after';
/** Where the fault occurs: the n-th call of an operation after the session is opened. */
const steps: readonly {
  readonly name: string;
  readonly store: Store;
  readonly operation: ObjectOperation | EventOperation;
  readonly call: number;
}[] = [
  { name: 'session looked up', store: 'events', operation: 'session', call: 1 },
  { name: 'parts listed', store: 'objects', operation: 'list', call: 1 },
  { name: 'first rows inserted', store: 'events', operation: 'insert', call: 1 },
  { name: 'second table inserted', store: 'events', operation: 'insert', call: 2 },
  { name: 'later insert', store: 'events', operation: 'insert', call: 4 },
  { name: 'certificate put', store: 'objects', operation: 'put', call: 1 },
  { name: 'first part put', store: 'objects', operation: 'put', call: 2 },
  { name: 'second part put', store: 'objects', operation: 'put', call: 3 },
  { name: 'last part put', store: 'objects', operation: 'put', call: 4 },
];
const modes: readonly Mode[] = ['fail-before', 'fail-after', 'crash-before', 'crash-after'];

describe('whatever breaks, what was acknowledged is there, once, and the same', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let zstd: Zstd;
  let services: ServiceAuthority;
  let tls: Awaited<ReturnType<ServiceAuthority['certify']>>;
  let ingestTls: typeof tls;
  let realEvents: EventStore;
  let realObjects: ObjectStore;
  let cleanObjects: ObjectStore;
  let objects: FaultyObjectStore;
  let events: FaultyEventStore;

  const start = async (over: ObjectStore, rows: EventStore, repack = false): Promise<Running> =>
    startIngest(
      { listen: '127.0.0.1:0', repack },
      {
        tls: ingestTls,
        guard: () => undefined,
        objects: over,
        events: rows,
        snapshot: () => ({ recording_ca: [recording.line], recording_ca_retired: [] }),
        log: quiet,
        clock: Date.now,
        retry: { firstWait: 1, longestWait: 5 },
        // Every step waits for its rows.
        batchInterval: 0,
      },
    );

  beforeAll(async () => {
    zstd = await openZstd();
    folder = await temporaryFolder();
    realEvents = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
    realObjects = await openDirectoryStore(`${folder.path}/objects`);
    cleanObjects = await openDirectoryStore(`${folder.path}/clean`);
    services = await ServiceAuthority.create();
    tls = await services.certify('gateway/gw-1');
    ingestTls = await services.certify('ingest/local');
  });
  afterAll(async () => {
    await realEvents?.close();
    await folder?.remove();
  });

  for (const step of steps) {
    for (const mode of modes) {
      test(`${step.name}: ${mode}`, async () => {
        const recorder = session();
        objects = new FaultyObjectStore(realObjects);
        events = new FaultyEventStore(realEvents);
        let ingest = await start(objects, events);
        let client = await UplinkClient.connect(ingest.addresses['uplink']!, tls, identity);
        await idle();
        const { faults } = step.store === 'objects' ? objects : events;
        const broken = plan(faults as typeof objects.faults, step.operation as ObjectOperation, step.call, mode);
        if (mode.startsWith('fail')) {
          await client.deliver(recorder.session, recorder.made);
        } else {
          const delivered = client.deliver(recorder.session, recorder.made).then(
            () => 'delivered',
            () => 'cut off',
          );
          await broken.reached;
          // As in a crash, nothing after this call takes effect.
          objects.faults.refuseAll();
          events.faults.refuseAll();
          const closing = ingest.close();
          broken.release();
          await closing;
          expect(await delivered).toBe('cut off');
          objects = new FaultyObjectStore(realObjects);
          events = new FaultyEventStore(realEvents);
          ingest = await start(objects, events);
          client = await UplinkClient.connect(ingest.addresses['uplink']!, tls, identity);
          await client.deliver(recorder.session, recorder.made);
        }
        await client.close();
        await sealed(recorder);
        await ingest.close();
        await expectWhole(recorder);
      });
    }
  }

  test('sealing that is cut off anywhere leaves a whole recording, and is finished at the next start', async () => {
    const cuts: readonly { readonly operation: ObjectOperation; readonly call: number }[] = [
      { operation: 'put', call: 1 },
      { operation: 'delete', call: 1 },
      { operation: 'delete', call: 2 },
    ];
    const recorder = session();
    let ingest = await start(realObjects, realEvents);
    const client = await UplinkClient.connect(ingest.addresses['uplink']!, tls, identity);
    await client.deliver(recorder.session, recorder.made);
    await client.close();
    await sealed(recorder);
    await ingest.close();
    const prefix = recordingPrefix(recorder.session, recorder.header.steno.started_at);
    const rows = await derived(recorder, realObjects);
    // Undo this, so that the session can be sealed again, this time with repacking.
    await realObjects.delete(manifestKey(prefix));
    const parts = await all(realObjects, prefix);
    for (const { operation, call } of cuts) {
      for (const mode of ['crash-before', 'crash-after'] as const) {
        for (const { key, bytes } of parts) await realObjects.put(key, bytes);
        await realObjects.delete(`${prefix}recording.cast.zst`);
        await realObjects.delete(manifestKey(prefix));
        objects = new FaultyObjectStore(realObjects);
        const broken = plan(objects.faults, operation, call, mode);
        const { Sealer } = await import('../sealing/sealer.js');
        const { StoreRetry } = await import('#stores/store-retry.js');
        const { RowBatch } = await import('./row-batch.js');
        const { Backlog } = await import('./backlog.js');
        const retry = new StoreRetry({ firstWait: 1, longestWait: 5, onOutage: () => undefined, onRecovery: () => undefined });
        const sealer = new Sealer({
          objects,
          events: realEvents,
          zstd,
          batch: new RowBatch(realEvents, retry, 0),
          objectRetry: retry,
          eventRetry: retry,
          log: quiet,
          clock: Date.now,
          backlog: new Backlog('sealing', 'sessions', Date.now),
          repack: true,
          compress: (content, level) => Promise.resolve(zstd.compress(content, level)),
          trusted: () => [recording.line],
        });
        sealer.add(recorder.session);
        await broken.reached;
        objects.faults.refuseAll();
        const closing = sealer.close();
        retry.close();
        broken.release();
        await closing;
        expect(await derived(recorder, realObjects), `${operation} ${call} ${mode}`).toMatchObject(
          rows.map(({ screen, events: found }) => ({ screen, events: found })),
        );
      }
    }
    const again = new Recorder(identity);
    ingest = await start(realObjects, realEvents, true);
    const other = await UplinkClient.connect(ingest.addresses['uplink']!, tls, identity);
    await other.deliver(again.session, again.output(1, 'x').close().made);
    expect(await other.deliver(recorder.session, recorder.made)).toBeGreaterThan(0);
    await other.close();
    await sealed(again);
    await ingest.close();
  });

  /** The n-th call fails; earlier calls succeed. */
  function plan(
    faults: FaultyObjectStore['faults'],
    operation: ObjectOperation,
    call: number,
    mode: Mode,
  ): { readonly reached: Promise<void>; readonly release: () => void } {
    for (let i = 1; i < call; i++) faults.hold(operation).release();
    if (mode === 'fail-before') faults.failBefore(operation, 2);
    if (mode === 'fail-after') faults.failAfter(operation, 2);
    if (mode.startsWith('fail')) return { reached: Promise.resolve(), release: () => undefined };
    // Paused before the operation and then done, or paused at the retry after it was done and reported as failed.
    if (mode === 'crash-after') faults.failAfter(operation);
    const held = faults.hold(operation);
    return { reached: held.reached, release: held.release };
  }

  async function idle(): Promise<void> {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async function sealed(recorder: Recorder): Promise<void> {
    while ((await realEvents.session(recorder.session))?.state !== 'sealed') await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async function all(store: ObjectStore, prefix: string): Promise<{ key: string; bytes: Uint8Array }[]> {
    const found: { key: string; bytes: Uint8Array }[] = [];
    for await (const { key } of store.list(prefix)) found.push({ key, bytes: await store.get(key) });
    return found;
  }

  async function derived(recorder: Recorder, store: ObjectStore): Promise<{ screen: readonly ScreenRow[]; events: readonly unknown[] }[]> {
    const found = [];
    for await (const { screen, events: rows } of deriveRows(
      { objects: store, zstd },
      recordingPrefix(recorder.session, recorder.header.steno.started_at),
    ))
      found.push({ screen, events: rows });
    return found;
  }

  async function expectWhole(recorder: Recorder): Promise<void> {
    const prefix = recordingPrefix(recorder.session, recorder.header.steno.started_at);
    const found = await all(realObjects, prefix);
    expect(found.map(({ key }) => key)).toEqual([manifestKey(prefix), partKey(prefix, 1), partKey(prefix, 2), partKey(prefix, 3)]);
    expect(
      verifyFile(
        found.slice(1).map(({ bytes }) => bytes),
        [identity.certificate],
        [recording.line],
        zstd,
      ),
    ).toMatchObject({ ok: true, parts: 3 });
    // The same blocks through another ingest without faults.
    const clean = await start(cleanObjects, realEvents);
    const client = await UplinkClient.connect(clean.addresses['uplink']!, tls, identity);
    await client.deliver(recorder.session, recorder.made);
    await client.close();
    while ((await all(cleanObjects, prefix)).length < found.length) await new Promise((resolve) => setTimeout(resolve, 10));
    await clean.close();
    const reference = await all(cleanObjects, prefix);
    expect(found.map(({ bytes }) => Buffer.from(bytes).toString('base64'))).toEqual(
      reference.map(({ bytes }) => Buffer.from(bytes).toString('base64')),
    );
    const rows = (await derived(recorder, realObjects))
      .flatMap(({ screen }) => screen)
      .map(({ block, index, offset_ms, row, text }) => [block, index, offset_ms, row, text]);
    const stored = await realEvents.readOnlySql(
      `SELECT block, index, offset_ms, row, text FROM screen WHERE session = '${recorder.session}' ORDER BY block, index`,
      { maxRows: 100_000, maxSeconds: 60 },
    );
    expect(stored.rows.length).toBe(rows.length);
    expect(stored.rows).toEqual(rows);
  }
});
