/**
 * The cost of the event log for 1,000 kernel events: bytes in the object store, and CPU at gateway and ingest, without the insert.
 *
 *     npx tsc -b bench && node dist/bench/event-log.js
 *
 * Needs root: the rows come from real programs (a shell that walks folders and reads files). They pass through the gateway's intake and
 * spool and through ingest's checks, derivation and compression, without network and stores. The insert into the event store is not
 * included: the log does not change its cost.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KERNEL_BLOCKS, kernelEvent, kernelRow } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { cutBlocks } from '#schemas/recording/block.js';
import { chainNext, chainStart } from '#schemas/recording/chain.js';
import { sha256 } from '#runtime/sha256.js';
import { openZstd } from '#runtime/zstd.js';
import { loggedEvents } from '#recordings/derive/logged-events.js';
import { BlockReader } from '#recordings/read/block-reader.js';
import { Probe } from '../agent/kernel/testing/probe.js';
import { startRecorder } from '../gateway/recorder/start.js';
import { turns } from '../gateway/tunnel/event-intake.js';

const EVENTS = 100_000;
const BATCH = 500;
const PART_BYTES = 256 << 10;

async function realRows(session: string): Promise<KernelRow[]> {
  const probe = new Probe(64 << 20);
  try {
    const { rows } = await probe.sh(
      'for d in /etc /usr/share /usr/bin; do ls -R $d; find $d -name "*.conf" -exec cat {} +; done > /dev/null 2>&1; i=0; while [ $i -lt 300 ]; do /bin/true $i; i=$((i+1)); done',
    );
    return Array.from({ length: EVENTS }, (_, i) => {
      const [, , , offset, ...rest] = rows[i % rows.length]!;
      return [session, KERNEL_BLOCKS + 1, i, offset + i, ...rest] as unknown as KernelRow;
    });
  } finally {
    probe.close();
  }
}

/** CPU milliseconds per 1,000 events. */
async function cpu(what: string, run: () => Promise<void> | void): Promise<void> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  console.log(`${what.padEnd(46)} ${((user + system) / EVENTS).toFixed(2)} ms of CPU`);
}

const folder = mkdtempSync(join(tmpdir(), 'steno-event-log-'));
const { privateKey } = generateKeyPairSync('ed25519');
const recorder = await startRecorder(
  { spool: folder, gateway: 'gw-1', drainMs: 0 },
  {
    sign: (text) => sign(null, Buffer.from(text), privateKey),
    clock: { now: Date.now, monotonic: () => performance.now() },
    random: (bytes) => randomBytes(bytes),
    log: { info: () => undefined, warn: () => undefined },
    uplink: null,
  },
);
const session = await recorder.open(
  {
    kind: 'shell',
    user: 'ana',
    roles: [],
    node: 'web-1',
    login: 'root',
    source_address: '127.0.0.1',
    client_version: '',
    certificate_serial: '1',
    certificate_key_id: 'ana',
    requests: [],
    tty: true,
    recording: { mode: 'strict', streams: 'commands', limit: 1 << 20 },
  },
  { cols: 80, rows: 24 },
);
session.logEvents();
const log = (await recorder.eventLogs.find(session.session))!;
const rows = await realRows(session.session);
const batches: Buffer[] = [];
for (let i = 0; i < rows.length; i += BATCH)
  batches.push(
    Buffer.from(
      `[${rows
        .slice(i, i + BATCH)
        .map((row) => JSON.stringify(row))
        .join(',\n')}]`,
    ),
  );
console.log(`for 1,000 events, of ${EVENTS}:`);
console.log(
  `${'rows as nodes send them'.padEnd(46)} ${Math.round(batches.reduce((sum, { length }) => sum + length, 0) / (EVENTS / 1000))} bytes`,
);

await cpu('gateway: parse, chain, spool, sign', async () => {
  for (const batch of batches) {
    for (const turn of turns(batch)) void log.take(turn as readonly KernelRow[]);
    await new Promise((resolve) => setImmediate(resolve));
  }
});
await recorder.settled();
const names = readdirSync(folder)
  .filter((name) => name.includes('-events') && name.endsWith('.cast'))
  .sort();
const first = names.find((name) => !/\.\d{15}\./.test(name))!;
const lines = Buffer.concat([first, ...names.filter((name) => name !== first)].map((name) => readFileSync(join(folder, name))));
const blocks = [...cutBlocks(lines)].map(({ content }) => content);
const zstd = await openZstd();
let stored = 0;
await cpu('ingest: rows as before, parsed and checked', () => {
  const of = { user: 'ana', node: 'web-1', login: 'root', started_at: 0 };
  for (const batch of batches) for (const row of JSON.parse(batch.toString()) as unknown[]) kernelEvent(kernelRow.parse(row), of);
});
await cpu('ingest: rows from the log, chain checked', () => {
  const reader = new BlockReader(undefined, undefined, 'events');
  let head = chainStart(sha256, session.session, 'events');
  let header: ReturnType<BlockReader['read']>['header'] = null;
  for (const content of blocks) {
    head = chainNext(sha256, head, content);
    const read = reader.read(content);
    header ??= read.header;
    loggedEvents(header!, read);
  }
});
await cpu('ingest: parts compressed', () => {
  let part: Uint8Array[] = [];
  let length = 0;
  const close = (): void => {
    if (length > 0) stored += zstd.compress(Buffer.concat(part), 3).length + 200;
    part = [];
    length = 0;
  };
  for (const content of blocks) {
    part.push(content);
    length += content.length;
    if (length >= PART_BYTES) close();
  }
  close();
});
console.log(`${'lines of the log'.padEnd(46)} ${Math.round(lines.length / (EVENTS / 1000))} bytes`);
console.log(`${'objects, proofs included'.padEnd(46)} ${Math.round(stored / (EVENTS / 1000))} bytes`);
await recorder.close();
rmSync(folder, { recursive: true, force: true });
