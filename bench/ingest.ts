/**
 * How fast ingest stores one session with endless output: a real uplink from a separate process, a directory, chDB.
 *
 *     npx tsc -b bench && node dist/bench/ingest.js [MiB [LOAD…]]
 *
 * `noise` is random bytes in `b` lines; `text` is log lines on a pipe; `terminal` is the same on a terminal. For a profile of
 * the storing process: node --cpu-prof dist/bench/ingest.js.
 */
import { randomBytes } from 'node:crypto';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import type { RecordingIdentity } from '#recordings/testing/recorder.js';
import { startIngest } from '../ingest/main.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../ingest/testing/gateway.js';

const loads = ['noise', 'text', 'terminal'] as const;
type Load = (typeof loads)[number];
const PART_BYTES = 256 << 10;
const LINE_BYTES = 24_000;

function record(load: Load, bytes: number, identity: RecordingIdentity): Recorder {
  const recorder = new Recorder(identity, { tty: load === 'terminal', kind: load === 'terminal' ? 'shell' : 'exec' });
  let i = 0;
  for (let done = 0; done < bytes; done += LINE_BYTES) {
    if (load === 'noise') {
      recorder.line(1, { code: 'b', data: { stream: 'out', replaces: false, base64: randomBytes(LINE_BYTES).toString('base64') } });
    } else {
      let text = '';
      while (text.length < LINE_BYTES)
        text += `2026-01-31T12:00:00 host service[${i++}]: request ${((i * 2654435761) >>> 0).toString(36)} took ${i % 977} ms\r\n`;
      recorder.output(1, text);
    }
    if (recorder.uncovered >= PART_BYTES) recorder.checkpoint();
  }
  return recorder.close();
}

interface Order {
  readonly address: string;
  readonly tls: { readonly key: string; readonly cert: string; readonly ca: string };
  readonly identity: { readonly gateway: string; readonly certificate: string };
  readonly session: string;
}

/** The sending process makes the recording itself; it gets only the seed, from which it derives the key. */
async function send(): Promise<void> {
  const recording = new RecordingAuthority();
  const identity = recording.certify('gw-1');
  process.send!({ ca: recording.line });
  process.on('message', ({ address, tls, load, bytes }: { address: string; tls: Order['tls']; load: Load; bytes: number }) => {
    void (async () => {
      const recorder = record(load, bytes, identity);
      const client = await UplinkClient.connect(address, tls, identity);
      process.send!({ begins: true });
      const start = performance.now();
      await client.deliver(recorder.session, recorder.made);
      process.send!({ seconds: (performance.now() - start) / 1000 });
      await client.close();
    })();
  });
}

async function measure(): Promise<void> {
  const mebibytes = Number(process.argv[2] ?? 64);
  const sender = fork(fileURLToPath(import.meta.url), ['send'], { execArgv: ['--max-old-space-size=3000'] });
  const next = async (): Promise<{ ca?: string; seconds?: number }> =>
    ((await once(sender, 'message')) as [{ ca?: string; seconds?: number }])[0];
  const { ca = '' } = await next();
  const temporary = await temporaryFolder();
  const services = await ServiceAuthority.create();
  const events = await openEventStore({ kind: 'chdb', path: join(temporary.path, 'events') });
  const ingest = await startIngest(
    { listen: '127.0.0.1:0', repack: false },
    {
      tls: await services.certify('ingest/local'),
      guard: () => undefined,
      objects: await openDirectoryStore(join(temporary.path, 'objects')),
      events,
      snapshot: () => ({ recording_ca: [ca], recording_ca_retired: [] }),
      log: quiet,
      clock: Date.now,
    },
  );
  const { key, cert, ca: serviceCa } = await services.certify('gateway/gw-1');
  const wanted = process.argv.slice(3);
  for (const load of loads.filter((name) => wanted.length === 0 || wanted.includes(name))) {
    sender.send({ address: ingest.addresses['uplink']!, tls: { key, cert, ca: serviceCa }, load, bytes: mebibytes << 20 });
    await next();
    const cpu = process.cpuUsage();
    const { seconds = 0 } = await next();
    const { user, system } = process.cpuUsage(cpu);
    const mb = (mebibytes << 20) / 1e6;
    console.log(
      `${load}: ${(mb / seconds).toFixed(1)} MB/s of ${mb.toFixed(0)} MB printed, ${((user + system) / 1e6 / (mb / 100)).toFixed(2)} s of processor a 100 MB`,
    );
  }
  sender.disconnect();
  await ingest.close();
  await events.close();
  await temporary.remove();
}

await (process.argv[2] === 'send' ? send() : measure());
