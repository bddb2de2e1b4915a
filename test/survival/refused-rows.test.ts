/** A node with rows that ingest refuses, one row or all rows of a session: the other rows are stored, and the loss is reported. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { exampleKernelRow } from '#schemas/testing/recordings.js';
import { sessionId } from '#schemas/recording/line.js';
import { decodeUplink, encodeUplink } from '#schemas/uplink.js';
import type { Running } from '#runtime/service/process.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { KernelBatches } from '../../agent/kernel/kernel-batches.js';
import type { LostRows } from '../../agent/kernel/collecting/messages.js';
import { startIngest } from '../../ingest/main.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../../ingest/testing/gateway.js';

const recording = new RecordingAuthority();
const identity = recording.certify('gw-1');
const here = new Recorder(identity, { startedAt: Date.now() }).output(1, 'x').close();
const elsewhere = new Recorder(identity, { startedAt: Date.now(), node: 'web-2' }).output(1, 'x').close();
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let services: ServiceAuthority;
let events: EventStore;
let ingest: Running;
let address: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  services = await ServiceAuthority.create();
  events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
  ingest = await startIngest(
    { listen: '127.0.0.1:0' },
    {
      tls: await services.certify('ingest/local'),
      guard: () => undefined,
      objects: await openDirectoryStore(`${folder.path}/objects`),
      events,
      snapshot: () => ({ recording_ca: [recording.line], recording_ca_retired: [] }),
      log: quiet,
      clock: Date.now,
      retry: { firstWait: 1, longestWait: 5 },
    },
  );
  address = ingest.addresses['uplink']!;
  const gateway = await UplinkClient.connect(address, await services.certify('gateway/gw-1'), identity);
  for (const { session, made } of [here, elsewhere]) await gateway.deliver(session, made);
  await gateway.close();
});
afterAll(async () => {
  await ingest?.close();
  await events?.close();
  await folder?.remove();
});

const row = (session: string, index: number, size: number | null = 1): KernelRow =>
  exampleKernelRow(session, index, { offset: index, kind: 'file', path: '/x', size, name: 'truncate', outcome: 'EINVAL' });

/** Sends a batch as a node does, until it is settled. Returns the losses. */
async function send(id: string, rows: readonly KernelRow[]): Promise<readonly LostRows[]> {
  const client = new UplinkClient(`wss://${address}/uplink`, await services.certify('agent/web-1'));
  await client.opened();
  client.send(encodeUplink('hello', { version: 1, name: 'web-1' }));
  const lost = await new Promise<readonly LostRows[]>((resolve) => {
    const batches = new KernelBatches({ stored: (_batch, some) => resolve(some), parked: () => undefined, log: { warn: () => undefined } });
    client.socket.on('message', (data: Buffer) => {
      const frame = decodeUplink(data);
      if (frame.kind === 'ack' && 'events' in frame.header) batches.acknowledged(frame.header.events);
      if (frame.kind === 'refuse' && frame.header.events !== undefined)
        batches.refused(frame.header.events, frame.header.code, frame.header.detail);
    });
    batches.onWork = () => {
      for (let batch = batches.next(); batch !== null; batch = batches.next())
        client.send(encodeUplink('events', { id: batch.id, table: 'kernel' }, batch.payload));
    };
    batches.add({ id, table: 'kernel', payload: Buffer.from(JSON.stringify(rows)) });
  });
  await client.close();
  return lost;
}

async function stored(session: string, from: number): Promise<number[]> {
  const { rows } = await events.events({ session, source: 'kernel', order: 'session', limit: 1_000 });
  return rows.map(({ index }) => index).filter((index) => index >= from);
}

/** Number of refused rows of `session` in the audit log, once it has this many batches. */
async function refused(session: string, batches: number): Promise<number[]> {
  for (;;) {
    const { rows } = await events.audit({ session });
    const found = rows.filter(({ event }) => event === 'uplink.refused');
    if (found.length >= batches) return found.map(({ data }) => (JSON.parse(data) as { readonly rows: number }).rows).sort((a, b) => a - b);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test('one bad row loses only itself: all others are stored, the node learns which session lost it, and the audit names the session', async () => {
  const rows = Array.from({ length: 200 }, (_, i) => row(here.session, 1_000 + i, i === 77 ? 2 ** 64 : 1));
  expect(await send('5.0-200', rows)).toEqual([{ session: here.session, count: 1, first_ms: 1_077, last_ms: 1_077, storable: true }]);
  expect(await stored(here.session, 1_000)).toEqual(rows.map(([, , index]) => index).filter((index) => index !== 1_077));
  // The original batch, and the row.
  expect(await refused(here.session, 2)).toEqual([1, 200]);
});

test('rows of a session on another node or of an unknown session lose no other session’s rows', async () => {
  const never = sessionId(Date.now() - 2 * 86_400_000, new Uint8Array(10));
  const rows = Array.from({ length: 30 }, (_, i) => row([here.session, elsewhere.session, never][i % 3]!, 5_000 + i));
  const lost = await send('6.0-30', rows);
  expect(lost.map(({ session, count, storable }) => [session, count, storable]).sort()).toEqual(
    [
      [elsewhere.session, 10, false],
      [never, 10, false],
    ].sort(),
  );
  expect(await stored(here.session, 5_000)).toHaveLength(10);
  expect(await stored(elsewhere.session, 0)).toEqual([]);
  expect(await refused(elsewhere.session, 1)).toEqual([10]);
  expect(await refused(never, 1)).toEqual([10]);
});
