/**
 * Authentic recordings of every kind for the two verifiers, stored, sealed and exported by the real code. Lines and checkpoints
 * come from the test recorder; test/end-to-end has recordings of a real gateway.
 */
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { openZstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import type { ObjectStore } from '#stores/objects/contract.js';
import { KERNEL_BLOCKS } from '#schemas/kernel/kernel.js';
import { recordingPrefix, certificateKey } from '#schemas/recording/layout.js';
import { encodeProof } from '#schemas/recording/container.js';
import { certificateId } from '#schemas/recording/proof.js';
import { startIngest } from '../../ingest/main.js';
import { Recorder, RecordingAuthority, signCheckpoint } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../../ingest/testing/gateway.js';
import type { Made, RecordingIdentity } from '#recordings/testing/recorder.js';
import { exportRecording } from '../../viewer/api/export/export.js';
import { eventLogIndex } from '#recordings/read/event-log.js';
import { exportFile } from '#recordings/read/export-file.js';
import { RecordingReader } from '#recordings/read/recording-reader.js';

export interface AuthenticRecording {
  readonly name: string;
  readonly file: Buffer;
  /** Expected exit code: a recording that is not over is authentic but truncated. */
  readonly code: number;
}

/** Pseudo-random numbers, the same in every run. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function terminal(identity: RecordingIdentity, more: Partial<Recorder['header']['steno']> = {}): Recorder {
  const recorder = new Recorder(identity, more);
  recorder.output(5, '$ ').input(100, 'l').output(2, 'l').input(900, 's').output(2, 's').input(300, '\r');
  return recorder
    .output(1500, '\r\n\x1b[1;31mred\x1b[m \u2500 naïve\r\n')
    .line(10, { code: 'r', data: '100x30' })
    .output(700, '$ exit\r\n')
    .line(4, { code: 'x', data: '0' });
}

/** Several epochs with anchors, and a screen with a scrolling region, a saved cursor and colours. */
function long(identity: RecordingIdentity, every: number): Recorder {
  const next = random(7);
  const recorder = new Recorder(identity);
  recorder.output(5, '\x1b[5;20r\x1b7$ top\r\n');
  for (let i = 0; i < 130; i++) {
    const noise = Array.from({ length: 900 }, () => `\x1b[3${next(8)}m${String.fromCharCode(97 + next(26))}`).join('');
    recorder.output(180, `${noise}\x1b[m line ${i}\r\n`);
    if (every > 0 && i % every === every - 1) recorder.checkpoint();
  }
  return recorder.output(1200, '\x1b8done\x1b[?1049h\x1b[2;3Hfull screen').line(5, { code: 'x', data: '0' });
}

/** Kernel rows, which the gateway signs in two parts. */
function eventLog(identity: RecordingIdentity): Recorder {
  const recorder = new Recorder(identity, { stream: 'events' });
  for (let i = 0; i < 12; i++) {
    recorder.line(i % 3 === 0 ? 1_100 : 20, {
      code: 'e',
      data: [KERNEL_BLOCKS + 1 + (i >> 3), i, i * 20, 'exec', `/bin/ü${i}`, 1, '', '', null, `true ${i}`, '', 'success', null, '{"pid":1}'],
    });
    if (i % 6 === 5) recorder.checkpoint();
  }
  return recorder;
}

async function whole(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

export interface Corpus {
  readonly ca: RecordingAuthority;
  /** The key of the recording CA, and a gateway certified by it. */
  readonly caKey: SshPrivateKey;
  readonly gateway: RecordingIdentity;
  readonly recordings: readonly AuthenticRecording[];
  /** The stored objects of a sealed recording, after its certificate. */
  readonly objects: Buffer;
}

export async function makeCorpus(): Promise<Corpus> {
  const folder = await temporaryFolder();
  const zstd = await openZstd();
  const caKey = generateKey();
  const ca = new RecordingAuthority(caKey);
  const [gateway, renewed] = [ca.certify('gw-1'), ca.certify('gw-1')];
  const services = await ServiceAuthority.create();
  const [tls, ingestTls] = [await services.certify('gateway/gw-1'), await services.certify('ingest/local')];
  const events = await openEventStore({ kind: 'chdb', path: `${folder.path}/events` });
  const objects = await openDirectoryStore(`${folder.path}/objects`);
  const reader = new RecordingReader(objects, zstd);
  const recordings: AuthenticRecording[] = [];
  const start = (repack: boolean): ReturnType<typeof startIngest> =>
    startIngest(
      { listen: '127.0.0.1:0', repack },
      {
        tls: ingestTls,
        guard: () => undefined,
        objects,
        events,
        snapshot: () => ({ recording_ca: [ca.line], recording_ca_retired: [] }),
        log: quiet,
        clock: Date.now,
        retry: { firstWait: 1, longestWait: 5 },
      },
    );
  const sealed = async (session: string): Promise<void> => {
    for (;;) {
      const row = await events.session(session);
      if (row !== undefined && row.version >= 4_000_000_000) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const exported = async ({ header }: Recorder): Promise<Buffer> => {
    const { session, started_at: startedAt, stream } = header.steno;
    if (stream === 'events') return whole(exportFile(objects, (await eventLogIndex(objects, recordingPrefix(session, startedAt)))!));
    // A new reader each time: a reader keeps the parts it has read, which may have been sealed since.
    const index = (await new RecordingReader(objects, zstd).index(session, startedAt))!;
    const parts = { objects, zstd, reader, events, sessions: undefined as never, painter: undefined as never };
    return whole(exportRecording(parts, { tty: true } as never, index, 'cast.zst'));
  };
  const deliver = async (address: string, recorder: Recorder, made: readonly Made[], identity = gateway): Promise<void> => {
    const client = await UplinkClient.connect(address, tls, identity, 3);
    await client.deliver(recorder.session, made, recorder.header.steno.stream);
    await client.close();
  };
  const add = async (name: string, recorder: Recorder, code = 0): Promise<void> =>
    void recordings.push({ name, file: await exported(recorder), code });

  let ingest = await start(true);
  let address = ingest.addresses['uplink']!;
  const addSealed = async (name: string, recorder: Recorder): Promise<void> => {
    await deliver(address, recorder, recorder.made);
    await sealed(recorder.session);
    await add(name, recorder);
  };
  const first = terminal(gateway).close();
  await addSealed('terminal, sealed', first);
  await addSealed('terminal with anchors, sealed', long(gateway, 40).close());
  await addSealed(
    'exec',
    new Recorder(gateway, { kind: 'exec', tty: false })
      .line(1, { code: 's', data: { fact: 'exec', command: 'uname -a' } })
      .output(30, 'Linux\n')
      .line(1, { code: 'b', data: { stream: 'out', replaces: false, base64: '/wD+' } })
      .line(2, { code: 's', data: { fact: 'total', stream: 'out', bytes: 9, sha256: '00'.repeat(32) } })
      .line(1, { code: 'x', data: '0' })
      .close(),
  );
  await addSealed(
    'sftp',
    new Recorder(gateway, { kind: 'sftp', tty: false })
      .line(1, { code: 's', data: { fact: 'subsystem', name: 'sftp' } })
      .line(2500, {
        code: 's',
        data: {
          fact: 'file',
          protocol: 'sftp',
          operation: 'write',
          path: '/tmp/ü "q"',
          size: 4,
          sha256: 'ab'.repeat(32),
          outcome: 'success',
        },
      })
      .line(5, { code: 'g', data: { reason: 'body_limit', stream: 'in', bytes: 7 } })
      .close(),
  );
  await addSealed('empty', new Recorder(gateway).close());
  await addSealed(
    'interrupted, with gaps of the kernel',
    new Recorder(gateway)
      .line(5, { code: 's', data: { fact: 'kernel', classes: ['exec'], error_ms: 2 } })
      .output(2, '$ ')
      .line(1100, { code: 'g', data: { reason: 'kernel_events', count: 3, from: 10, to: 900 } })
      .line(0, { code: 'g', data: { reason: 'interrupted' } })
      .close('interrupted'),
  );
  await ingest.close();

  // Without repacking, the parts stay and get a manifest.
  ingest = await start(false);
  address = ingest.addresses['uplink']!;
  await addSealed('terminal, in parts', long(gateway, 12).close());
  const two = new Recorder(gateway).output(5, 'one\r\n').output(1200, 'two\r\n').output(1200, '$ ').checkpoint();
  // The recording continues under a renewed certificate, and ends without further lines.
  const before = [...two.made];
  const rest = resigned(two, renewed);
  await deliver(address, two, before);
  await deliver(address, two, rest, renewed);
  await sealed(two.session);
  await add('in parts of two certificates, the last without lines', two);
  const live = long(gateway, 30);
  await deliver(address, live, live.made.slice(0, live.made.findLastIndex(({ kind }) => kind === 'checkpoint') + 1));
  await add('live', live, 11);
  const log = eventLog(gateway).close();
  await deliver(address, log, log.made);
  await add('event log, in parts', log);
  const openLog = eventLog(gateway);
  await deliver(address, openLog, openLog.made);
  await add('event log, not closed', openLog, 11);
  await ingest.close();
  const corpus = { ca, caKey, gateway, recordings, objects: await stored(objects, first, gateway) };
  await events.close();
  await folder.remove();
  return corpus;
}

/** Closes `recorder` with another key of the same gateway: the open block, a checkpoint, then an end that covers nothing more. */
function resigned(recorder: Recorder, identity: RecordingIdentity): readonly Made[] {
  const from = recorder.made.length;
  recorder.close('complete');
  const made = recorder.made.slice(from);
  const last = made.at(-1)!;
  if (last.kind !== 'close') throw new Error('no end');
  const { signature: _, ...checkpoint } = last.checkpoint;
  return [
    ...made.slice(0, -1),
    { kind: 'checkpoint', part: last.part, checkpoint: signCheckpoint({ ...checkpoint, end: 'open' }, identity.key) },
    { kind: 'close', part: last.part + 1, checkpoint: signCheckpoint(checkpoint, identity.key) },
  ];
}

async function stored(objects: ObjectStore, { header }: Recorder, identity: RecordingIdentity): Promise<Buffer> {
  const files = [encodeProof({ kind: 'certificate', certificate: await objects.get(certificateKey(certificateId(identity.fingerprint))) })];
  for await (const { key } of objects.list(recordingPrefix(header.steno.session, header.steno.started_at)))
    files.push(await objects.get(key));
  return Buffer.concat(files);
}
