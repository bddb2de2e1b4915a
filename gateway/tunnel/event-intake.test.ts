import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { LAST_ROW } from '#schemas/kernel/kernel.js';
import type { KernelRow } from '#schemas/kernel/kernel.js';
import { exampleKernelRow } from '#schemas/testing/recordings.js';
import { openLog } from '#runtime/log.js';
import { UplinkClient } from '#runtime/uplink/client.js';
import { MemoryIngest } from '#runtime/uplink/memory-ingest.js';
import type { BatchSource, EventBatch } from '#runtime/uplink/source.js';
import type { AuditEntry, SessionRecorder } from '../recorder/recorder.js';
import { startRecorder } from '../recorder/start.js';
import type { RunningRecorder } from '../recorder/start.js';
import { facts, trialDeps, trialFolder } from '../testing/recorder.js';
import { EventIntake, turns } from './event-intake.js';

/** Batches for the node's own client to send; `send` resolves to what became of the batch. */
class Batches implements BatchSource {
  onWork: (() => void) | null = null;
  readonly #waiting = new Map<string, EventBatch>();
  #out = new Set<string>();
  readonly #ends = new Map<string, (end: string) => void>();
  send(id: string, payload: string): Promise<string> {
    this.#waiting.set(id, { id, table: 'kernel', payload: Buffer.from(payload) });
    this.onWork?.();
    return new Promise((resolve) => this.#ends.set(id, resolve));
  }
  next(): EventBatch | null {
    const batch = [...this.#waiting.values()].find(({ id }) => !this.#out.has(id)) ?? null;
    if (batch !== null) this.#out.add(batch.id);
    return batch;
  }
  rewind(underWay: ReadonlySet<string>): void {
    this.#out = new Set(underWay);
  }
  acknowledged(id: string): void {
    this.#end(id, 'stored');
  }
  refused(id: string, code: string): void {
    this.#end(id, code);
  }
  #end(id: string, end: string): void {
    this.#waiting.delete(id);
    this.#ends.get(id)?.(end);
  }
}

let folder: ReturnType<typeof trialFolder>;
let ingest: MemoryIngest;
let recorder: RunningRecorder;
let server: WebSocketServer;
let audits: AuditEntry[];
let clients: UplinkClient[];

beforeEach(async () => {
  folder = trialFolder();
  ingest = new MemoryIngest();
  await ingest.listen();
  audits = [];
  clients = [];
  recorder = await startRecorder({ spool: folder.path, gateway: 'gw-1', drainMs: 0 }, trialDeps(ingest));
  server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => server.once('listening', resolve));
  server.on('connection', (socket, request) => {
    const node = request.url!.slice(1);
    const audit = (entry: AuditEntry): void => void audits.push(entry);
    new EventIntake(socket, node, { logs: recorder.eventLogs, gateway: 'gw-1', audit, log: openLog('test', 'silent') });
  });
});
afterEach(async () => {
  for (const client of clients) await client.close();
  await recorder.close();
  server.close();
  await ingest.close();
  folder.remove();
});

function node(name: string): Batches {
  const batches = new Batches();
  const { port } = server.address() as AddressInfo;
  const log = { info: () => undefined, warn: () => undefined };
  clients.push(
    new UplinkClient({
      url: () => `ws://127.0.0.1:${port}/${name}`,
      tls: null,
      name,
      batches: [batches],
      batchWindow: 100,
      random: () => 0,
      log,
    }),
  );
  return batches;
}
const row = (session: string, index: number, name = 'true'): KernelRow =>
  exampleKernelRow(session, index, { name, kind: name === LAST_ROW ? 'kernel' : 'exec' });
const text = (rows: readonly unknown[]): string => `[${rows.map((each) => JSON.stringify(each)).join(',\n')}]`;
async function logged(): Promise<SessionRecorder> {
  const session = await recorder.open(facts(), { cols: 80, rows: 24 });
  session.logEvents();
  return session;
}
const indexes = (session: string): unknown[] =>
  Buffer.concat(ingest.recordings.get(`${session}/events`)?.blocks.map(({ content }) => content) ?? [])
    .toString()
    .split('\n')
    .slice(1, -1)
    .map((line) => (JSON.parse(line) as [number, string, unknown[]])[2][1]);

test('batches are processed in order and acknowledged once ingest has stored them', async () => {
  const { session } = await logged();
  const web = node('web-1');
  const sent = [
    web.send('a', text([row(session, 0), row(session, 2)])),
    web.send('b', text([row(session, 4)])),
    web.send('c', text([row(session, 6, LAST_ROW)])),
  ];
  expect(await Promise.all(sent)).toEqual(['stored', 'stored', 'stored']);
  expect(ingest.recordings.get(`${session}/events`)).toMatchObject({ closed: true });
  expect(indexes(session)).toEqual([0, 2, 4, 6]);
  expect(audits).toEqual([]);
});

test('rows from another node, or for a session without a log, are refused, and the connection continues', async () => {
  const { session } = await logged();
  expect(await node('web-2').send('a', text([row(session, 0)]))).toBe('UPLINK_UNAUTHENTICATED');
  const web = node('web-1');
  expect(await web.send('a', text([row('0'.repeat(26), 0)]))).toBe('SESSION_UNKNOWN');
  expect(await web.send('b', '{}')).toBe('UPLINK_MALFORMED');
  expect(await web.send('c', text([row(session, 8, LAST_ROW)]))).toBe('stored');
  expect(indexes(session)).toEqual([8]);
  expect(audits.map(({ event, actor, code }) => [event, actor, code])).toEqual([
    ['event_log.refused', 'agent/web-2', 'UPLINK_UNAUTHENTICATED'],
    ['event_log.refused', 'agent/web-1', 'SESSION_UNKNOWN'],
    ['event_log.refused', 'agent/web-1', 'UPLINK_MALFORMED'],
  ]);
});

test('an invalid row costs only itself, and is audited', async () => {
  const { session } = await logged();
  const bad = ['x', [], [session, 1], [session, 5, 0, ...row(session, 0).slice(3)], [7, ...row(session, 0).slice(1)]];
  expect(await node('web-1').send('a', text([row(session, 0), ...bad, row(session, 2, LAST_ROW)]))).toBe('stored');
  expect(indexes(session)).toEqual([0, 2]);
  expect(audits).toMatchObject([{ event: 'event_log.refused', data: JSON.stringify({ rows: bad.length }) }]);
});

test('rows of a session that has not yet announced its log wait for it, in order', async () => {
  const session = await recorder.open(facts(), { cols: 80, rows: 24 });
  const web = node('web-1');
  const sent = [web.send('a', text([row(session.session, 0)])), web.send('b', text([row(session.session, 2, LAST_ROW)]))];
  await new Promise((resolve) => setImmediate(resolve));
  session.logEvents();
  expect(await Promise.all(sent)).toEqual(['stored', 'stored']);
  expect(indexes(session.session)).toEqual([0, 2]);
});

test('a batch is parsed a few rows at a time, whatever it contains', () => {
  const rows = Array.from({ length: 500 }, (_, i) => row('0'.repeat(26), i, `"],\\n[ ü ${'x'.repeat(i)}`));
  const parts = [...turns(Buffer.from(text(rows)))];
  expect(parts.flat()).toEqual(rows);
  expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(64);
  expect([...turns(Buffer.from('[]'))].flat()).toEqual([]);
  for (const bad of ['', '[', '{}', 'null'])
    expect(() => [...turns(Buffer.from(bad))]).toThrow(expect.objectContaining({ code: 'UPLINK_MALFORMED' }) as Error);
});
