import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { KERNEL_BLOCKS } from '#schemas/kernel/kernel.js';
import { sessionId } from '#schemas/recording/line.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { UplinkFrame } from '#schemas/uplink.js';
import { encodeUplink } from '#schemas/uplink.js';
import type { Running } from '#runtime/service/process.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { startIngest } from '../main.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../testing/gateway.js';

const recording = new RecordingAuthority();
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let services: ServiceAuthority;
let events: EventStore;
let ingest: Running;
let address: string;
const recorder = new Recorder(recording.certify('gw-1'), { startedAt: Date.now() }).output(1, 'x').close();

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
  const gateway = await UplinkClient.connect(address, await services.certify('gateway/gw-1'), recording.certify('gw-1'));
  await gateway.deliver(recorder.session, recorder.made).catch(() => undefined);
  await gateway.close();
});
afterAll(async () => {
  await ingest?.close();
  await events?.close();
  await folder?.remove();
});

const row = (session: string, index: number, more: Partial<Record<number, unknown>> = {}): KernelRow =>
  Object.assign(
    [session, KERNEL_BLOCKS + 1, index, 5, 'exec', '/bin/true', 1, '', '', null, 'true', '', 'success', null, '{"pid":1}'],
    more,
  ) as KernelRow;

async function agent(
  name: string,
  kind = 'agent',
): Promise<{ send(id: string, rows: unknown, table?: 'kernel'): Promise<UplinkFrame>; close(): Promise<void> }> {
  const client = new UplinkClient(`wss://${address}/uplink`, await services.certify(`${kind}/${name}`));
  await client.opened();
  client.send(encodeUplink('hello', { version: 1, name }));
  await client.next((frame) => frame.kind === 'hello');
  return {
    send(id, rows, table = 'kernel') {
      client.send(encodeUplink('events', { id, ...(table === undefined ? {} : { table }) }, Buffer.from(JSON.stringify(rows))));
      return client.next(
        (frame) => (frame.kind === 'ack' || frame.kind === 'refuse') && (!('events' in frame.header) || frame.header.events === id),
      );
    },
    close: () => client.close(),
  };
}

describe('events of the kernel', () => {
  test('are bound to the session that they name: whose it is, where, and when', async () => {
    const node = await agent('web-1');
    expect((await node.send('1.0', [row(recorder.session, 0), row(recorder.session, 2, { 3: 9 })])).kind).toBe('ack');
    // The same rows again, as after a lost connection: nothing is stored twice.
    expect((await node.send('1.0', [row(recorder.session, 0), row(recorder.session, 2, { 3: 9 })])).kind).toBe('ack');
    const { rows } = await events.events({ session: recorder.session, source: 'kernel', order: 'session' });
    const startedAt = recorder.header.steno.started_at;
    expect(rows).toMatchObject([
      { user: 'ana', node: 'web-1', login: 'root', at: startedAt + 5, index: 0 },
      { at: startedAt + 9, index: 2 },
    ] satisfies Partial<EventRow>[]);
    await node.close();
  });

  test.each([
    ['of a session on another node', 'web-2', () => [row(recorder.session, 0)], 'UPLINK_UNAUTHENTICATED'],
    ['that are none', 'web-1', () => [row(recorder.session, 0, { 4: 'No Kind!' })], 'UPLINK_MALFORMED'],
    ["in the place of the recording's own", 'web-1', () => [row(recorder.session, 0, { 1: 1 })], 'UPLINK_MALFORMED'],
    ['of a session that never was', 'web-1', () => [row(sessionId(Date.now() - 2 * 86_400_000, new Uint8Array(10)), 0)], 'SESSION_UNKNOWN'],
    [
      'of a session that nobody has heard of yet, to be sent again',
      'web-1',
      () => [row(sessionId(Date.now(), new Uint8Array(10)), 0)],
      'UPLINK_EARLY',
    ],
  ])('%s are refused', async (_what, name, rows, code) => {
    const node = await agent(name);
    expect((await node.send('9', rows())).header).toMatchObject({ code });
    await node.close();
  });

  test('come from agents, and nothing else does; nobody else sends them', async () => {
    for (const [kind, table] of [
      ['agent', undefined],
      ['gateway', 'kernel'],
    ] as const) {
      const client = new UplinkClient(`wss://${address}/uplink`, await services.certify(`${kind}/web-1`));
      await client.opened();
      client.send(encodeUplink('hello', { version: 1, name: 'web-1' }));
      client.send(encodeUplink('events', { id: 'x', ...(table === undefined ? {} : { table }) }, Buffer.from('[]')));
      expect((await client.next((frame) => frame.kind === 'refuse')).header).toMatchObject({ code: 'UPLINK_UNAUTHENTICATED' });
      await client.closed;
    }
  });
});
