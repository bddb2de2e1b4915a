/**
 * Storage size and speed of ingest: casts recorded again, through a real uplink into a directory and chDB, then sealed.
 *
 *     npx tsc -b bench && node dist/bench/storage.js FOLDER
 *
 * FOLDER holds asciicast v2 files. Lines follow the recorder's rules: ms intervals, output within 10 ms in one line,
 * a checkpoint every 256 KiB or 60 s. Compared with `gzip -9` of the casts as they are.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { MAX_LINE_BYTES } from '#schemas/recording/line.js';
import { readContainer } from '#schemas/recording/container.js';
import { openZstd } from '#runtime/zstd.js';
import { openEventStore } from '#stores/events/clickhouse/store.js';
import { openDirectoryStore } from '#stores/objects/directory.js';
import { startIngest } from '../ingest/main.js';
import { Recorder, RecordingAuthority } from '#recordings/testing/recorder.js';
import { ServiceAuthority, UplinkClient, quiet, temporaryFolder } from '../ingest/testing/gateway.js';
import type { RecordingIdentity } from '#recordings/testing/recorder.js';

const COALESCE_MS = 10;
/** Character limit of a line, which holds for any escapes. */
const LINE_CHARS = Math.floor((MAX_LINE_BYTES - 64) / 6);

function record(cast: string, identity: RecordingIdentity): Recorder {
  const [head, ...rest] = cast.split('\n').filter((line) => line !== '');
  const { width, height } = JSON.parse(head!) as { width: number; height: number };
  const recorder = new Recorder(identity, { cols: width, rows: height });
  let last = 0;
  let seen = 0;
  let signed = 0;
  let text = '';
  let since = 0;
  const put = (at: number, code: 'o' | 'i' | 'r', data: string): void => {
    for (let i = 0; i < data.length || i === 0; i += LINE_CHARS) {
      recorder.line(at - last, { code, data: data.slice(i, i + LINE_CHARS) });
      last = at;
    }
    if (recorder.uncovered < 262_144 && (at - signed < 60_000 || recorder.uncovered === 0)) return;
    recorder.checkpoint();
    signed = at;
  };
  const flush = (): void => {
    if (text !== '') put(since, 'o', text);
    text = '';
  };
  for (const line of rest) {
    const [seconds, code, data] = JSON.parse(line) as [number, string, string];
    const at = (seen = Math.max(seen, Math.round(seconds * 1000)));
    if (code !== 'o' || at - since >= COALESCE_MS) flush();
    if (code === 'o') {
      if (text === '') since = at;
      text += data;
    } else if (code === 'i' || code === 'r') {
      put(at, code, data);
    }
  }
  flush();
  return recorder.close();
}

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: storage.js FOLDER');
const temporary = await temporaryFolder();
const recording = new RecordingAuthority();
const identity = recording.certify('gw-1');
const services = await ServiceAuthority.create();
const objects = await openDirectoryStore(join(temporary.path, 'objects'));
const events = await openEventStore({ kind: 'chdb', path: join(temporary.path, 'events') });
const ingest = await startIngest(
  { listen: '127.0.0.1:0' },
  {
    tls: await services.certify('ingest/local'),
    guard: () => undefined,
    objects,
    events,
    snapshot: () => ({ recording_ca: [recording.line], recording_ca_retired: [] }),
    log: quiet,
    clock: Date.now,
  },
);
const client = await UplinkClient.connect(ingest.addresses['uplink']!, await services.certify('gateway/gw-1'), identity);

const casts = readdirSync(folder)
  .filter((name) => name.endsWith('.cast'))
  .map((name) => readFileSync(join(folder, name), 'utf8'));
const gzip = casts.reduce((sum, cast) => sum + gzipSync(cast, { level: 9 }).length, 0);
const recorders = casts.map((cast) => record(cast, identity));
const blocks = recorders.flatMap(({ made }) => made.filter(({ kind }) => kind === 'block'));
const raw = blocks.reduce((sum, made) => sum + (made.kind === 'block' ? made.content.length : 0), 0);
const cpu = process.cpuUsage();
const start = performance.now();
await Promise.all(recorders.map(({ session, made }) => client.deliver(session, made)));
const seconds = (performance.now() - start) / 1000;
const used = process.cpuUsage(cpu);
await client.close();

const total = async (): Promise<number> => {
  let sum = 0;
  for await (const { size } of objects.list('recordings/')) sum += size;
  return sum;
};
const live = await total();
const sealing = performance.now();
for (;;) {
  const { rows } = await events.sessions({ state: 'sealed', limit: 1000 });
  if (rows.length === recorders.length) break;
  await new Promise((resolve) => setTimeout(resolve, 200));
}
const sealed = await total();
const share = { manifests: 0, proofs: 0, indexes: 0, tables: 0, headers: 0, keyframes: 0, frames: 0 };
const zstd = await openZstd();
for await (const { key, size } of objects.list('recordings/')) {
  if (key.endsWith('manifest.json')) {
    share.manifests += size;
    continue;
  }
  for (const segment of readContainer(await objects.get(key))) {
    if (segment.kind !== 'data') {
      share[segment.kind === 'proof' ? 'proofs' : segment.kind === 'index' ? 'indexes' : 'tables'] += segment.length;
      continue;
    }
    share.frames += 1;
    const lines = Buffer.from(zstd.decompress(segment.bytes)).toString('utf8').split('\n').slice(0, -1);
    const without = lines.filter((line) => !line.startsWith('[0,"k"'));
    if (without[0]?.startsWith('{') === true)
      share.headers +=
        segment.bytes.length - zstd.compress(Buffer.from(`${lines.filter((line) => !line.startsWith('{')).join('\n')}\n`), 22).length;
    if (without.length < lines.length)
      share.keyframes += segment.bytes.length - zstd.compress(Buffer.from(`${without.join('\n')}\n`), 22).length;
  }
}
const {
  rows: [lines],
} = await events.readOnlySql('SELECT count(), sum(length(text)) FROM screen', { maxRows: 1, maxSeconds: 60 });
const mb = (bytes: number): string => (bytes / 1e6).toFixed(2);
console.log(`casts ${casts.length}, ${mb(casts.reduce((sum, cast) => sum + Buffer.byteLength(cast), 0))} MB; gzip -9 ${mb(gzip)} MB`);
console.log(
  `recorded ${mb(raw)} MB of lines in ${blocks.length} blocks, ${seconds.toFixed(2)} s: ${(blocks.length / seconds).toFixed(0)} blocks/s, ${(raw / 1e6 / seconds).toFixed(1)} MB/s, cpu ${((used.user + used.system) / 1e6).toFixed(2)} s`,
);
const of = (bytes: number): string => (bytes / gzip).toFixed(4);
console.log(
  `stored live ${mb(live)} MB (${of(live)} of gzip), sealed ${mb(sealed)} MB (${of(sealed)}) in ${share.frames} frames; sealing waited for ${((performance.now() - sealing) / 1000).toFixed(1)} s`,
);
console.log(
  `of gzip: ${(['manifests', 'proofs', 'indexes', 'tables', 'headers', 'keyframes'] as const).map((name) => `${name} ${of(share[name])}`).join(', ')}`,
);
console.log(`screen rows ${String(lines?.[0])}, text ${mb(Number(lines?.[1]))} MB`);

/** From the block leaving the gateway to its text being found. */
const followed = await UplinkClient.connect(ingest.addresses['uplink']!, await services.certify('gateway/gw-1'), identity);
const delays: number[] = [];
for (let i = 0; i < 30; i++) {
  const recorder = new Recorder(identity);
  const word = `needle${i}haystack`;
  recorder.output(1, `${word}\r\n`).close();
  const sent = performance.now();
  const delivered = followed.deliver(recorder.session, recorder.made);
  while ((await events.searchScreen({ text: word })).rows.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  delays.push(performance.now() - sent);
  await delivered;
}
delays.sort((a, b) => a - b);
console.log(`open to searchable: p50 ${delays[15]!.toFixed(0)} ms, max ${delays.at(-1)!.toFixed(0)} ms`);
await followed.close();
await ingest.close();
await events.close();
await temporary.remove();
