import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificateKey, partKey, recordingPrefix, sealedKey } from '#schemas/recording/layout.js';
import { certificateId } from '#schemas/recording/proof.js';
import { encodeUplink } from '#schemas/uplink.js';
import { openZstd } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import type { Running } from '#runtime/service/process.js';
import type { EventStore } from '#stores/events/contract.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { startIngest } from './main.js';
import { Recorder, RecordingAuthority, verifyFile } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, encodeMade, quiet, temporaryFolder } from './testing/gateway.js';

describe('a gateway, ingest and real stores', () => {
  const recording = new RecordingAuthority();
  const identity = recording.certify('gw-1');
  let services: ServiceAuthority;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let objects: ObjectStore;
  let events: EventStore;
  let zstd: Zstd;
  let ingest: Running;
  let address: string;
  let tls: Awaited<ReturnType<ServiceAuthority['certify']>>;

  const start = async (repack = true): Promise<void> => {
    ingest = await startIngest(
      { listen: '127.0.0.1:0', repack },
      {
        tls: await services.certify('ingest/local'),
        guard: () => undefined,
        objects,
        events,
        snapshot: () => ({ recording_ca: [recording.line], recording_ca_retired: [] }),
        log: quiet,
        clock: Date.now,
        retry: { firstWait: 1, longestWait: 10 },
      },
    );
    address = ingest.addresses['uplink']!;
  };

  beforeAll(async () => {
    zstd = await openZstd();
    folder = await temporaryFolder();
    objects = await openDirectoryStore(`${folder.path}/objects`);
    events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
    services = await ServiceAuthority.create();
    tls = await services.certify('gateway/gw-1');
    await start();
  });
  afterAll(async () => {
    await ingest?.close();
    await events?.close();
    await folder?.remove();
  });

  test('a session is stored, found, sealed and verified', async () => {
    const client = await UplinkClient.connect(address, tls, identity);
    const recorder = new Recorder(identity);
    recorder.output(5, 'root@web-1:~# ');
    for (const key of ['s', 'd', 'o', '\b\x1b[K', '\b\x1b[K', 'u', 'd', 'o', ' id']) recorder.input(50, 'x').output(2, key);
    recorder.input(50, '\r').output(2, '\r\nuid=0(root) gid=0(root)\r\n').output(1, 'root@web-1:~# ');
    for (let i = 0; i < 30; i++) recorder.output(200, `line ${i} of \u4f60\u597d\r\n`);
    recorder.checkpoint();
    for (let i = 0; i < 5000; i++) recorder.output(3, `bulk output number ${i}\r\n`);
    recorder.checkpoint();
    recorder.output(500, 'bye\r\n').line(1, { code: 'x', data: '0' }).close();
    await client.deliver(recorder.session, recorder.made);

    const prefix = recordingPrefix(recorder.session, recorder.header.steno.started_at);
    const hits = await events.searchScreen({ text: 'sudo id', mode: 'substring', session: recorder.session });
    expect(hits.rows.map(({ text, row }) => ({ text, row }))).toEqual([{ text: 'root@web-1:~# sudo id', row: 0 }]);
    expect(
      (await events.searchScreen({ text: '\u4f60\u597d', mode: 'substring', session: recorder.session, limit: 100 })).rows.length,
    ).toBe(30);
    expect((await events.searchScreen({ text: 'sdo', mode: 'substring', session: recorder.session })).rows).toEqual([]);
    const row = await events.session(recorder.session);
    expect(row).toMatchObject({ kind: 'shell', exit_code: 0 });

    await untilSealed(recorder.session);
    const sealed = await keys(prefix);
    expect(sealed).toEqual([sealedKey(prefix)]);
    const object = await objects.get(`${prefix}recording.cast.zst`);
    const certificate = await objects.get(certificateKey(certificateId(identity.fingerprint)));
    expect(verifyFile([object], [certificate], [recording.line], zstd)).toMatchObject({ ok: true, parts: 1 });
    const lines = execFileSync('zstd', ['-dc'], { input: object, maxBuffer: 1 << 26 }).toString('utf8');
    expect(
      lines
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('[0,"k"'))
        .join('\n'),
    ).toBe(
      recorder.made
        .flatMap((made) => (made.kind === 'block' ? [made.content.toString('utf8')] : []))
        .join('')
        .trimEnd(),
    );
    await client.close();
  });

  test('a live session is in parts that verify as far as they go', async () => {
    const client = await UplinkClient.connect(address, tls, identity);
    const recorder = new Recorder(identity);
    for (let i = 0; i < 40; i++) recorder.output(100, `first ${i}\r\n`);
    recorder.checkpoint();
    for (let i = 0; i < 40; i++) recorder.output(100, `second ${i}\r\n`);
    recorder.checkpoint();
    await client.deliver(recorder.session, recorder.made);
    const prefix = recordingPrefix(recorder.session, recorder.header.steno.started_at);
    expect(await keys(prefix)).toEqual([partKey(prefix, 1), partKey(prefix, 2)]);
    const parts = [await objects.get(partKey(prefix, 1)), await objects.get(partKey(prefix, 2))];
    expect(verifyFile(parts, [identity.certificate], [recording.line], zstd)).toMatchObject({ ok: false, code: 'VERIFY_TRUNCATED' });
    const from = recorder.made.length;
    recorder.close();
    for (const made of recorder.made.slice(from)) client.send(encodeMade(recorder.session, made));
    await client.next(
      (frame) => frame.kind === 'ack' && 'session' in frame.header && frame.header.session === recorder.session && frame.header.closed,
    );
    await client.close();
    await untilSealed(recorder.session);
  });

  test('a sender of events only is heard', async () => {
    const client = new UplinkClient(`wss://${address}/uplink`, await services.certify('authority/main'));
    await client.opened();
    client.send(encodeUplink('hello', { version: 1, name: 'main' }));
    await client.next((frame) => frame.kind === 'hello');
    const audit = {
      id: 'a1',
      at: Date.now(),
      event: 'role.changed',
      actor: 'ana',
      target: 'ops',
      outcome: 'success',
      code: '',
      reason: '',
      source_address: '',
      session: '',
      node: '',
      login: '',
      data: '{}',
    };
    client.send(encodeUplink('events', { id: 'b1' }, Buffer.from(JSON.stringify([audit]))));
    await client.next((frame) => frame.kind === 'ack' && 'events' in frame.header && frame.header.events === 'b1');
    expect((await events.audit({ event: 'role.changed' })).rows).toEqual([audit]);
    client.send(encodeUplink('open', { session: new Recorder(identity).session }));
    await client.next((frame) => frame.kind === 'refuse');
    expect(await client.closed).toBe(1001);
  });

  async function keys(prefix: string): Promise<string[]> {
    const found: string[] = [];
    for await (const { key } of objects.list(prefix)) found.push(key);
    return found;
  }

  /** The row is the last thing that sealing writes. */
  async function untilSealed(session: string): Promise<void> {
    for (;;) {
      const row = await events.session(session);
      if (row?.state === 'sealed') return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
});
