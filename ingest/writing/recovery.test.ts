import { afterAll, beforeAll, expect, test } from 'vitest';
import { recordingPrefix, manifestKey } from '#schemas/recording/layout.js';
import { openZstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import type { EventStore } from '#stores/events/contract.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { Backlog } from './backlog.js';
import { recover } from './recovery.js';
import { RowBatch } from './row-batch.js';
import { seal } from '../sealing/sealer.js';
import { SessionWriter } from './session-writer.js';
import { StoreRetry } from '#stores/store-retry.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { quiet, temporaryFolder } from '../testing/gateway.js';

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

/** A store whose `n`-th call first waits for `meanwhile`. */
function interrupted(inner: ObjectStore, n: number, meanwhile: () => Promise<void>): ObjectStore & { readonly calls: () => number } {
  let calls = 0;
  const before = async (): Promise<void> => {
    if (++calls === n) await meanwhile();
  };
  return {
    calls: () => calls,
    put: (...args) => inner.put(...args),
    get: async (...args) => (await before(), inner.get(...args)),
    size: async (...args) => (await before(), inner.size(...args)),
    async *list(prefix) {
      await before();
      yield* inner.list(prefix);
    },
    delete: (key) => inner.delete(key),
    close: () => inner.close(),
  };
}

test('a session that is sealed while it is looked up is found closed, whichever read the sealing comes before', async () => {
  const zstd = await openZstd();
  const retry = new StoreRetry({ firstWait: 1, longestWait: 5, onOutage: () => undefined, onRecovery: () => undefined });
  let more = true;
  for (let n = 1; more; n++) {
    const objects = await openDirectoryStore(`${folder.path}/objects-${n}`);
    const batch = new RowBatch(events, retry, 5);
    const parts = {
      objects,
      events,
      zstd,
      batch,
      objectRetry: retry,
      eventRetry: retry,
      trusted: () => [recording.line],
      repack: true,
      log: quiet,
      clock: () => 0,
      backlog: new Backlog('sealing', 'sessions', () => 0),
      compress: (content: Uint8Array, level: number) => Promise.resolve(zstd.compress(content, level)),
    };
    const recorder = new Recorder(identity);
    for (let i = 0; i < 3; i++) {
      recorder.output(1500, `part ${i}\r\n`);
      recorder.output(1500, 'more\r\n').checkpoint();
    }
    recorder.close();
    const opened = await SessionWriter.open(
      parts,
      recorder.session,
      {
        gateway: identity.gateway,
        certificate: { fingerprint: identity.fingerprint, blob: identity.certificate },
        onProgress: () => undefined,
        onFollowed: () => undefined,
        onFailure: (error) => {
          throw error;
        },
      },
      () => false,
    );
    if (opened.kind !== 'open') throw new Error('not open');
    let last = Promise.resolve();
    for (const made of recorder.made) {
      if (made.kind === 'block') await opened.writer.block(made.n, made.head, made.content);
      else last = (await opened.writer.checkpoint(made.part, made.checkpoint, made.kind === 'close')).done;
    }
    await last;
    await opened.writer.close();
    const watched = interrupted(objects, n, async () => {
      await seal(parts, recorder.session);
      expect(
        await objects.size(manifestKey(recordingPrefix(recorder.session, recorder.header.steno.started_at))).catch(() => 1),
      ).toBeGreaterThan(0);
    });
    const found = await recover({ objects: watched, events, zstd }, recorder.session);
    expect(found, `sealed before read ${n}`).toMatchObject({
      kind: 'closed',
      blocks: recorder.made.filter(({ kind }) => kind === 'block').length,
    });
    more = watched.calls() >= n;
    await batch.close();
  }
});
