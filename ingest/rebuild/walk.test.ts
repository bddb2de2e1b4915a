/** Damaged recordings among good ones: each kind of damage is named, and everything good is indexed. */
import { randomBytes } from 'node:crypto';
import { truncate, writeFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { partKey, recordingPrefix, sealedKey } from '#schemas/recording/layout.js';
import { openZstd } from '#runtime/zstd.js';
import type { Zstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { FaultyObjectStore } from '#stores/objects/faulty.js';
import { startIngest } from '../main.js';
import { walkRecordings } from '#recordings/read/walk.js';
import type { Walked } from '#recordings/read/walk.js';
import { reindex } from './reindex.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../testing/gateway.js';

type Damage = (path: string) => Promise<void>;
const rewritten =
  (change: (bytes: Buffer) => Buffer): Damage =>
  async (path) =>
    writeFile(path, change(await readFile(path)));
const damages: Readonly<Record<string, Damage>> = {
  'nothing but zeros': rewritten((bytes) => Buffer.alloc(bytes.length)),
  'an empty object': (path) => truncate(path, 0),
  'cut in half': rewritten((bytes) => bytes.subarray(0, bytes.length >> 1)),
  'cut by sixty bytes': rewritten((bytes) => bytes.subarray(0, -60)),
  'a flipped bit in the first frame': rewritten((bytes) => {
    bytes[40]! ^= 1;
    return bytes;
  }),
  'the wrong magic': rewritten((bytes) => {
    bytes.write('GIF8', 0);
    return bytes;
  }),
  noise: rewritten((bytes) => randomBytes(bytes.length)),
};

const recording = new RecordingAuthority();
const identity = recording.certify('gw-1');
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let zstd: Zstd;
let events: EventStore;
let objects: ObjectStore;

interface Running {
  readonly client: UplinkClient;
  close(): Promise<void>;
}
/** One ingest repacks into one object, the other keeps the parts under a manifest. */
let packing: Running;
let keeping: Running;

async function start(services: ServiceAuthority, repack: boolean): Promise<Running> {
  const ingest = await startIngest(
    { listen: '127.0.0.1:0', repack },
    {
      tls: await services.certify('ingest/local'),
      guard: () => undefined,
      objects,
      events,
      snapshot: () => ({ recording_ca: [recording.line], recording_ca_retired: [] }),
      log: quiet,
      clock: Date.now,
      retry: { firstWait: 1, longestWait: 5 },
    },
  );
  const client = await UplinkClient.connect(ingest.addresses['uplink']!, await services.certify('gateway/gw-1'), identity);
  return {
    client,
    async close() {
      client.socket.close();
      await client.closed;
      await ingest.close();
    },
  };
}

/** Three parts of one recording, stored and sealed by a real ingest. */
async function stored(word: string, sealed: boolean): Promise<string> {
  const recorder = new Recorder(identity);
  for (let part = 0; part < 3; part++) {
    for (let line = 1; line <= 3; line++) recorder.output(1500, `${word} of part ${part}, line ${line}\r\n`);
    if (part < 2) recorder.checkpoint();
  }
  recorder.close();
  const { client } = sealed ? packing : keeping;
  await client.deliver(recorder.session, recorder.made);
  const prefix = recordingPrefix(recorder.session, recorder.header.steno.started_at);
  // Sealing ends with its last step: from here on ingest touches nothing that the test damages.
  while ((await events.session(recorder.session))?.state !== 'sealed') await new Promise((resolve) => setTimeout(resolve, 5));
  return prefix;
}

beforeAll(async () => {
  zstd = await openZstd();
  folder = await temporaryFolder();
  events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
  objects = await openDirectoryStore(`${folder.path}/objects`);
  const services = await ServiceAuthority.create();
  [packing, keeping] = [await start(services, true), await start(services, false)];
});
afterAll(async () => {
  await packing?.close();
  await keeping?.close();
  await events?.close();
  await folder?.remove();
});

async function walk(over: ObjectStore = objects): Promise<readonly Walked<unknown>[]> {
  const walked: Walked<unknown>[] = [];
  for await (const step of walkRecordings(over, (prefix) =>
    reindex({ objects: over, events, zstd }, prefix, randomBytes(4).toString('hex')),
  ))
    walked.push(step);
  return walked;
}

describe('a walk over recordings', () => {
  const expected = new Map<string, 'done' | 'damaged'>();
  let prefixes: readonly string[];
  beforeAll(async () => {
    for (const [name, damage] of Object.entries(damages)) {
      expected.set(await stored(`good before ${name}`, false), 'done');
      const inParts = await stored(`bad part of ${name}`, false);
      await damage(join(folder.path, 'objects', partKey(inParts, 2)));
      expected.set(inParts, 'damaged');
      const sealed = await stored(`sealed, ${name}`, true);
      await damage(join(folder.path, 'objects', sealedKey(sealed)));
      expected.set(sealed, 'damaged');
    }
    expected.set(await stored('the last good one', true), 'done');
    const holed = await stored('a hole', false);
    await objects.delete(partKey(holed, 2));
    expected.set(holed, 'damaged');
    await objects.put('recordings/2026/01/02/stray.txt', new Uint8Array(3));
    expected.set('recordings/2026/01/02/', 'damaged');
    prefixes = [...expected.keys()].sort();
  }, 120_000);

  test('does all that are good, and names each that is damaged', async () => {
    const walked = await walk();
    expect(walked.map(({ prefix }) => prefix)).toEqual(prefixes);
    expect(Object.fromEntries(walked.map(({ prefix, kind }) => [prefix, kind]))).toEqual(Object.fromEntries(expected));
    for (const step of walked)
      if (step.kind === 'damaged')
        expect(step.fault, step.prefix).toEqual({
          code: expect.stringMatching(/^(RECORDING_MALFORMED|STORE_NOT_FOUND)$/),
          detail: expect.stringMatching(/./),
        });
  });

  test('of what is damaged, keeps the rows before the damage and the session that they belong to', async () => {
    const inserted: { readonly table: string; readonly session: string; readonly block?: number }[] = [];
    const prefix = [...expected].find(([, kind]) => kind === 'damaged')![0];
    const session = prefix.split('/')[4]!;
    const store: Pick<EventStore, 'insert'> = {
      insert: async (table, rows) => void inserted.push(...rows.map((row) => ({ ...(row as object), table }) as never)),
    };
    await expect(reindex({ objects, events: store, zstd }, prefix, 'again')).rejects.toMatchObject({ code: 'RECORDING_MALFORMED' });
    expect(inserted.filter(({ table }) => table === 'screen')).toContainEqual(
      expect.objectContaining({ session, text: 'bad part of nothing but zeros of part 0, line 1' }),
    );
    expect(inserted.filter(({ table }) => table === 'sessions')).toEqual([
      expect.objectContaining({ session, version: 0, state: 'interrupted' }),
    ]);
  });

  test('ends when a store does not answer, since nothing after it could be done', async () => {
    const over = new FaultyObjectStore(objects);
    over.faults.failBefore('get');
    await expect(walk(over)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  });
});
