import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openZstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { FaultyObjectStore } from '#stores/objects/faulty.js';
import { FaultyEventStore } from '#stores/events/faulty.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionRow } from '#schemas/events/rows.js';
import { recordingPrefix } from '#schemas/recording/layout.js';
import { listParts } from '#recordings/read/stored-recording.js';
import { EPOCH_MAX_BYTES } from '#recordings/derive/epoch.js';
import { BlockReader } from '#recordings/read/block-reader.js';
import { Projection } from '#recordings/derive/projection.js';
import type { Anchor, Rows } from '#recordings/derive/projection.js';
import { RowBatch } from './row-batch.js';
import { SessionWriter } from './session-writer.js';
import type { WriterParts } from './session-writer.js';
import { StoreRetry } from '#stores/store-retry.js';
import { Recorder, RecordingAuthority, verifyFile } from '#recordings/testing/recorder.js';
import { temporaryFolder } from '../testing/gateway.js';

const recording = new RecordingAuthority();
const identity = recording.certify('gw-1');
let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let events: EventStore;

beforeAll(async () => {
  folder = await temporaryFolder();
  events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
});
afterAll(async () => {
  await events?.close();
  await folder?.remove();
});

/** Lines with much state: modes, regions, cut sequences, wide characters, pending command lines; over several epochs. */
function session(facts: ConstructorParameters<typeof Recorder>[1] = {}): Recorder {
  const recorder = new Recorder(identity, facts);
  for (let i = 0; i < 130; i++) {
    recorder
      .output(300, `${'\x1b[32m\x1b[m'.repeat(800)}step ${i} \u4f60\u597d\r\n\x1b[${1 + (i % 5)};20r\x1b[3`)
      .output(400, `${i % 7}mcut\x1b(0q\x1b(B $ \x1b]133;B\x07`);
    recorder
      .input(200, 'l')
      .output(5, 'l')
      .output(1, `\r\n\x1b]133;C\x07\x1b]133;D;${i % 3}\x07`);
    if (i % 10 === 9) recorder.checkpoint();
    if (i === 77) recorder.output(1_000_000, '\x1b[?1049h\x1b[Hediting').line(5, { code: 'r', data: '100x30' });
  }
  return recorder.line(1, { code: 'x', data: '0' }).close();
}

test('whoever begins at an anchor gives the same rows as whoever came through', () => {
  const recorder = session();
  const blocks = recorder.made.flatMap((made) => (made.kind === 'block' ? [made.content] : []));
  expect(blocks.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(2 * EPOCH_MAX_BYTES);
  const through = new Projection(recorder.header);
  const reader = new BlockReader();
  const read = blocks.map((content) => reader.read(content));
  const rows: Rows[] = [];
  const anchors: { readonly i: number; readonly anchor: Anchor }[] = [];
  read.forEach((block, i) => {
    const { anchor, screen, events: found } = through.block(block);
    if (anchor !== null) anchors.push({ i, anchor: { keyframe: anchor, at: block.from } });
    rows.push({ screen, events: found });
  });
  const last = through.finish();
  expect(anchors.length).toBeGreaterThan(2);
  for (const { i, anchor } of anchors) {
    const again = new Projection(recorder.header, anchor);
    read.slice(i).forEach((block, k) => {
      const { screen, events: found } = again.block(block);
      expect({ screen, events: found }).toEqual(rows[i + k]);
    });
    expect(again.finish()).toEqual(last);
    expect(again.snapshot()).toEqual(through.snapshot());
  }
});

for (const tty of [true, false]) {
  test(`a session ${tty ? 'with' : 'without'} a terminal that falls asleep again and again is stored as if it had not`, async () => {
    const recorder = session({ tty });
    const stored = await Promise.all(
      [false, true].map(async (sleeps) => {
        const objects = await openDirectoryStore(`${folder.path}/${tty}-${sleeps}`);
        await write(objects, recorder, sleeps);
        const found: string[] = [];
        for await (const { key } of objects.list('recordings/')) found.push(Buffer.from(await objects.get(key)).toString('base64'));
        return found;
      }),
    );
    expect(stored[1]).toEqual(stored[0]);
    expect(stored[0]!.length).toBe(14);
    const file = Buffer.concat(stored[1]!.map((object) => Buffer.from(object, 'base64')));
    expect(execFileSync('zstd', ['-dc'], { input: file, maxBuffer: 1 << 26 }).toString('utf8')).toMatch(/^\{"version":3/);
  });
}

test('parts that are signed while one is written are put in their order, and the session gets one row for all of them', async () => {
  const recorder = session({ tty: false });
  const closes = recorder.made.filter(({ kind }) => kind !== 'block').length;
  const store = new FaultyObjectStore(await openDirectoryStore(`${folder.path}/grouped`));
  const puts: string[] = [];
  const versions: number[] = [];
  const objects = new (class extends FaultyObjectStore {
    override put(...args: Parameters<ObjectStore['put']>): Promise<void> {
      puts.push(args[0]);
      return super.put(...args);
    }
  })(store);
  const counting = new (class extends FaultyEventStore {
    override insert(...args: Parameters<EventStore['insert']>): Promise<void> {
      const [table, rows] = args;
      if (table === 'sessions') versions.push(...(rows as readonly SessionRow[]).map(({ version }) => version));
      return super.insert(...args);
    }
  })(events);
  const held = store.faults.hold('put');
  const { writer } = await openWriter(objects, recorder, counting);
  let done: Promise<void> = Promise.resolve();
  for (const made of recorder.made) {
    if (made.kind === 'block') await writer.block(made.n, made.head, made.content);
    else ({ done } = await writer.checkpoint(made.part, made.checkpoint, made.kind === 'close'));
  }
  await held.reached;
  expect(writer.stored).toBe(0);
  held.release();
  await done;
  await writer.close();
  expect(writer.closed).toBe(true);
  const parts = puts.filter((key) => key.includes('part-'));
  expect(parts.length).toBe(closes);
  expect(parts).toEqual([...parts].sort());
  // The session at its beginning, after the delayed group, and after everything signed meanwhile.
  expect([...new Set(versions)]).toEqual([0, 1, closes]);
});

test('a crash between two parts of a group leaves parts without a hole, and whoever comes next goes on after the last of them', async () => {
  const recorder = session({ tty: false });
  const directory = await openDirectoryStore(`${folder.path}/cut`);
  for (let crash = 1; ; crash++) {
    const store = new FaultyObjectStore(directory);
    const { writer, stop } = await openWriter(store, recorder, events);
    const before = writer.stored;
    let done: Promise<void> = Promise.resolve();
    let puts = 0;
    const objectsPut = store.put.bind(store);
    store.put = async (...args) => {
      // The fourth object that this writer puts never arrives: the process is gone.
      if (++puts > 3) {
        stop();
        throw new StenoError('DRAINING');
      }
      await objectsPut(...args);
    };
    for (const made of recorder.made) {
      if (made.kind === 'block') await writer.block(made.n, made.head, made.content);
      else ({ done } = await writer.checkpoint(made.part, made.checkpoint, made.kind === 'close'));
    }
    await done;
    await writer.close();
    if (writer.closed) break;
    expect(crash).toBeLessThan(12);
    const stored = await listParts(directory, recordingPrefix(recorder.session, recorder.header.steno.started_at));
    expect(stored.length).toBeGreaterThan(0);
    expect(before).toBeLessThan(recorder.made.filter(({ kind }) => kind === 'block').length);
  }
  const whole: Uint8Array[] = [];
  for (const { key } of await listParts(directory, recordingPrefix(recorder.session, recorder.header.steno.started_at)))
    whole.push(await directory.get(key));
  expect(verifyFile(whole, [identity.certificate], [recording.line], await openZstd())).toMatchObject({ ok: true });
});

async function write(objects: ObjectStore, recorder: Recorder, sleeps: boolean): Promise<void> {
  const { writer } = await openWriter(objects, recorder, events);
  for (const [i, made] of recorder.made.entries()) {
    if (sleeps && i % 3 === 2) writer.sleep();
    if (made.kind === 'block') await writer.block(made.n, made.head, made.content);
    else {
      const { done } = await writer.checkpoint(made.part, made.checkpoint, made.kind === 'close');
      // Sometimes the part is still being written when the session falls asleep.
      if (made.part % 2 === 0) await done;
    }
  }
  await writer.close();
  expect(writer.closed).toBe(true);
}

async function openWriter(
  objects: ObjectStore,
  recorder: Recorder,
  rows: EventStore,
): Promise<{ readonly writer: SessionWriter; readonly stop: () => void }> {
  const retry = new StoreRetry({ firstWait: 1, longestWait: 5, onOutage: () => undefined, onRecovery: () => undefined });
  const parts: WriterParts = {
    objects,
    events: rows,
    zstd: await openZstd(),
    batch: new RowBatch(rows, retry, 0),
    objectRetry: retry,
    eventRetry: retry,
    trusted: () => [recording.line],
  };
  const opened = await SessionWriter.open(
    parts,
    recorder.session,
    {
      gateway: 'gw-1',
      certificate: { fingerprint: identity.fingerprint, blob: identity.certificate },
      onProgress: () => undefined,
      onFollowed: () => undefined,
      onFailure: (error) => {
        throw error;
      },
    },
    () => false,
  );
  if (opened.kind === 'closed') throw new Error('closed');
  return { writer: opened.writer, stop: () => retry.close() };
}
