import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WebSocketServer } from 'ws';
import type { AddressInfo } from 'node:net';
import { freePort } from '#runtime/http/free-port.js';
import type { SignedCheckpoint } from '#schemas/recording/checkpoint.js';
import { sessionId } from '#schemas/recording/line.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { UplinkClient } from './client.js';
import type { UplinkOptions, UplinkState } from './client.js';
import { EventQueue, auditRows } from './event-queue.js';
import type { Quarantined } from './event-queue.js';
import { MemoryIngest } from './memory-ingest.js';
import type { Draft, OutgoingFrame, RecordingSource, SessionSource } from './source.js';

/** A recording in memory: blocks of `size` bytes, a checkpoint every `every` blocks, and the last closes. */
class Recorded implements SessionSource {
  readonly stream: 'recording' | 'events';
  readonly session = sessionId(Date.now(), randomBytes(10));
  readonly frames: OutgoingFrame[] = [];
  readonly owner: Recordings;
  at = 0;
  available: number;
  stored = 0;
  finished = false;
  refusal = '';
  draft?: (n: number, to: number) => Draft | null;

  constructor(owner: Recordings, blocks: number, size: number, every = 3, stream: 'recording' | 'events' = 'recording') {
    this.owner = owner;
    this.stream = stream;
    let head = createHash('sha256').update(`steno-${stream}/1\n${this.session}`).digest();
    for (let n = 1; n <= blocks; n++) {
      const content = randomBytes(size);
      const length = Buffer.alloc(8);
      length.writeBigUInt64BE(BigInt(size));
      head = createHash('sha256').update(head).update(length).update(content).digest();
      this.frames.push({ kind: 'block', n, head: head.toString('hex'), content });
      if (n % every !== 0 && n !== blocks) continue;
      const checkpoint: SignedCheckpoint = {
        session: this.session,
        gateway: 'gw-1',
        counter: 1,
        block: n,
        bytes: n * size,
        at: n,
        time: 1,
        head: head.toString('hex'),
        end: n === blocks ? 'complete' : 'open',
        signature: '',
      };
      this.frames.push({ kind: 'checkpoint', part: Math.ceil(n / every), checkpoint });
    }
    this.available = this.frames.length;
    owner.all.set(this.session, this);
    owner.onWork?.(this);
  }

  seek(stored: number): boolean {
    const place = this.frames.findIndex((frame) => frame.kind === 'checkpoint' && frame.checkpoint.block === stored);
    if (stored > 0 && place < 0) return false;
    this.at = place + 1;
    return true;
  }
  next(): OutgoingFrame | null {
    return this.at < this.available ? this.frames[this.at++]! : null;
  }
  acknowledged(stored: number, closed: boolean): void {
    this.stored = Math.max(this.stored, stored);
    if (closed) this.#leave();
    this.finished ||= closed;
    this.owner.changed();
  }
  refused(code: string): void {
    this.refusal = code;
    this.#leave();
    this.owner.changed();
  }
  #leave(): void {
    this.owner.all.delete(this.session);
  }
}

class Recordings implements RecordingSource {
  onWork: ((session: SessionSource) => void) | null = null;
  readonly all = new Map<string, Recorded>();
  changed: () => void = () => undefined;
  sessions(): Iterable<SessionSource> {
    return this.all.values();
  }
  async when(until: () => boolean): Promise<void> {
    while (!until()) await new Promise<void>((resolve) => (this.changed = resolve));
  }
}

let ingest: MemoryIngest;
let client: UplinkClient | null = null;
let recordings: Recordings;
let folder: string;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'steno-uplink-'));
  ingest = new MemoryIngest();
  await ingest.listen();
  recordings = new Recordings();
});
afterEach(async () => {
  await client?.close();
  client = null;
  await ingest.close();
  rmSync(folder, { recursive: true, force: true });
});

const connect = (change: Partial<UplinkOptions> = {}): UplinkClient =>
  (client = new UplinkClient({
    url: () => ingest.url,
    tls: null,
    name: 'gw-1',
    recordings,
    random: () => 0,
    log: { info: () => undefined, warn: () => undefined },
    ...change,
  }));
const SESSION = '01jd0000000000000000000000';
const queue = (write?: (fd: number, bytes: Uint8Array) => void, onQuarantine?: (quarantined: Quarantined) => void): EventQueue =>
  new EventQueue(
    {
      folder,
      now: () => Date.now(),
      random: (bytes) => randomBytes(bytes),
      ...(write === undefined ? {} : { write }),
      ...(onQuarantine === undefined ? {} : { onQuarantine }),
    },
    auditRows,
  );
const row = (event: string): Omit<AuditRow, 'id' | 'at'> => ({
  event,
  actor: '',
  target: '',
  outcome: 'success',
  code: '',
  reason: '',
  source_address: '',
  session: '',
  node: '',
  login: '',
  data: '{}',
});

describe('recordings', () => {
  test('arrive in order, and are forgotten once stored and closed', async () => {
    const first = new Recorded(recordings, 10, 1000);
    connect();
    const second = new Recorded(recordings, 1, 10);
    await recordings.when(() => first.finished && second.finished);
    expect(ingest.faults).toEqual([]);
    expect(ingest.recordings.get(first.session)!.blocks.map(({ content }) => content)).toEqual(
      first.frames.flatMap((frame) => (frame.kind === 'block' ? [frame.content] : [])),
    );
    expect(client!.inFlight).toBe(0);
  });

  test('reach an ingest of an older version, which is offered its version after ours', async () => {
    const offered: number[] = [];
    ingest.hooks.frame = (frame) => {
      if (frame.kind === 'hello') offered.push(frame.header.version);
      return 'go on';
    };
    for (const version of [5, 4, 3, 1]) {
      ingest.hooks.version = version;
      const recorded = new Recorded(recordings, 3, 100);
      const uplink = connect();
      await recordings.when(() => recorded.finished);
      await uplink.close();
    }
    expect([offered, ingest.faults]).toEqual([[5, 5, 4, 5, 4, 3, 5, 4, 3, 1], []]);
  });

  test('are drafted while followed, each byte once, and from the start again when following restarts', async () => {
    const recorded = new Recorded(recordings, 4, 100);
    recorded.available = 1;
    let text = '[0,"o","';
    let n = 2;
    recorded.draft = (before, to) => {
      const from = before === n ? to : 0;
      return from < text.length ? { n, from, bytes: Buffer.from(text).subarray(from) } : null;
    };
    connect();
    await ingest.when(() => (ingest.recordings.get(recorded.session)?.blocks.length ?? 0) === 1);
    const drafted = (block: number): string =>
      (ingest.drafts.get(recorded.session) ?? []).flatMap((draft) => (draft.n === block ? [draft.text] : [])).join('');
    ingest.follow(recorded.session, true);
    for (const key of ['a', 'b', 'c']) {
      text += key;
      await ingest.when(() => drafted(2) === text);
    }
    // The next block: drafts of the previous one no longer count.
    [n, text] = [3, '[1,"o","next'];
    recorded.available = 2;
    recordings.onWork?.(recorded);
    await ingest.when(() => drafted(3) === text);
    expect((ingest.drafts.get(recorded.session) ?? []).filter(({ from }) => from === 0)).toHaveLength(2);
    ingest.follow(recorded.session, true);
    await ingest.when(() => drafted(3) === text + text);
    ingest.follow(recorded.session, false);
    recorded.available = recorded.frames.length;
    recordings.onWork?.(recorded);
    await recordings.when(() => recorded.finished);
    expect(ingest.faults).toEqual([]);
  });

  test('and event logs are drafted under their own name, but not with an ingest whose version lacks this', async () => {
    for (const version of [4, 5]) {
      ingest.hooks.version = version;
      const recorded = new Recorded(recordings, 2, 100, 3, 'events');
      recorded.available = 1;
      const text = '[0,"e",[]]\n';
      recorded.draft = (before, to) => (before === 2 && to > 0 ? null : { n: 2, from: 0, bytes: Buffer.from(text) });
      const key = `${recorded.session}/events`;
      const uplink = connect();
      await ingest.when(() => (ingest.recordings.get(key)?.blocks.length ?? 0) === 1);
      ingest.follow(recorded.session, true);
      if (version === 5) {
        ingest.follow(recorded.session, true, 'events');
        await ingest.when(() => ingest.drafts.has(key));
      }
      recorded.available = recorded.frames.length;
      recordings.onWork?.(recorded);
      await recordings.when(() => recorded.finished);
      expect(ingest.drafts.get(key)?.map((draft) => draft.text)).toEqual(version === 5 ? [text] : undefined);
      expect(ingest.drafts.has(recorded.session)).toBe(false);
      await uplink.close();
    }
    expect(ingest.faults).toEqual([]);
  });

  for (const fate of ['drop', 'done'] as const) {
    test(`survive a connection that dies ${fate === 'drop' ? 'before' : 'after'} any one frame was handled`, async () => {
      let next = 2;
      let since = 0;
      // Each connection lives for some frames more than the previous one.
      ingest.hooks.frame = () => {
        if (++since < next) return 'go on';
        since = 0;
        next += 1;
        return fate;
      };
      const recorded = new Recorded(recordings, 12, 500);
      connect({ random: () => 0 });
      await recordings.when(() => recorded.finished);
      expect(ingest.faults).toEqual([]);
      expect(ingest.connections).toBeGreaterThan(3);
      expect(ingest.recordings.get(recorded.session)!.parts.map(({ checkpoint }) => checkpoint.block)).toEqual([3, 6, 9, 12]);
    });
  }

  test('are held back at 1 MiB unacknowledged, and continue with the acknowledgements', async () => {
    let acks = false;
    ingest.hooks.acks = () => acks;
    const recorded = new Recorded(recordings, 60, 60_000, 100);
    connect();
    await ingest.when(() => (ingest.recordings.get(recorded.session)?.blocks.length ?? 0) >= 17);
    expect(client!.inFlight).toBeLessThanOrEqual((1 << 20) + 60_000);
    expect(recorded.at).toBeLessThan(20);
    acks = true;
    await ingest.close();
    await ingest.listen();
    await recordings.when(() => recorded.finished);
    expect(ingest.faults).toEqual([]);
  });

  test('are not held back by event logs, which may have 4 MiB each and 12 MiB together unacknowledged', async () => {
    let acks = false;
    ingest.hooks.acks = () => acks;
    const logs = Array.from({ length: 5 }, () => new Recorded(recordings, 100, 60_000, 200, 'events'));
    connect();
    const arrived = (): number[] => logs.map(({ session }) => ingest.recordings.get(`${session}/events`)?.blocks.length ?? 0);
    const bytes = (): number => arrived().reduce((sum, blocks) => sum + blocks * 60_000, 0);
    await ingest.when(() => bytes() >= 12 << 20);
    const recorded = new Recorded(recordings, 15, 60_000, 100);
    await ingest.when(() => ingest.recordings.get(recorded.session)?.blocks.length === 15);
    expect(bytes()).toBeLessThan((12 << 20) + 2 * 60_000);
    expect(Math.max(...arrived()) * 60_000).toBeLessThan((4 << 20) + 60_000);
    acks = true;
    await ingest.close();
    await ingest.listen();
    await recordings.when(() => recorded.finished && logs.every(({ finished }) => finished));
    expect(ingest.faults).toEqual([]);
  });

  test('are handed back if refused permanently, and offered again if refused temporarily', async () => {
    const codes = new Map<string, string | null>();
    ingest.hooks.refuseOpen = (session) => {
      const code = codes.get(session) ?? null;
      codes.delete(session);
      return code;
    };
    const broken = new Recorded(recordings, 2, 10);
    const early = new Recorded(recordings, 2, 10);
    codes.set(broken.session, 'UPLINK_CHAIN_BROKEN').set(early.session, 'STORE_UNAVAILABLE');
    connect();
    await recordings.when(() => broken.refusal !== '' && early.finished);
    expect(broken.refusal).toBe('UPLINK_CHAIN_BROKEN');
  });

  test('that cannot continue after the block that ingest stored are handed back', async () => {
    const recorded = new Recorded(recordings, 4, 10);
    ingest.recordings.set(recorded.session, {
      blocks: [{ n: 1, head: '', content: Buffer.alloc(0) }],
      parts: [],
      stored: 1,
      closed: false,
    });
    connect();
    await recordings.when(() => recorded.refusal !== '');
    expect(recorded.refusal).toBe('UPLINK_CHAIN_BROKEN');
  });

  test('already closed at ingest are forgotten at once', async () => {
    const recorded = new Recorded(recordings, 4, 10);
    ingest.recordings.set(recorded.session, { blocks: [], parts: [], stored: 4, closed: true });
    connect();
    await recordings.when(() => recorded.finished);
  });
});

test('a peer that speaks nonsense or another version is disconnected, and tried again later', async () => {
  const answers = [Buffer.from('nonsense'), Buffer.concat([Buffer.from([1, 0, 0, 0, 27]), Buffer.from('{"version":2,"name":"later"}')])];
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => 'steno-uplink.1' });
  await new Promise((resolve) => server.once('listening', resolve));
  server.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.send(answers.shift() ?? Buffer.alloc(0));
  });
  const states: UplinkState[] = [];
  await new Promise<void>((resolve) => {
    connect({
      url: () => `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
      onState: (state) => states.push(state) === 3 && resolve(),
    });
  });
  expect(states.map(({ kind }) => kind)).toEqual(['down', 'down', 'down']);
  expect(states.map((state) => (state.kind === 'down' ? state.retryInMs : 0))).toEqual([50, 100, 200]);
  await client!.close();
  await new Promise((resolve) => server.close(resolve));
});

describe('audit rows', () => {
  test('are sent in batches, once each, and their files are removed', async () => {
    const events = queue();
    connect({ batches: [events] });
    for (let i = 0; i < 600; i++) events.push(row(`test.row${i}`.replace(/\d+$/, '')));
    await ingest.when(() => ingest.events.size === 600);
    expect(ingest.batches).toHaveLength(3);
    await events.flush();
    while (!events.empty) await new Promise((resolve) => setImmediate(resolve));
    expect(readdirSync(folder)).toEqual([]);
  });

  test('survive the death of their process, except for a torn line, under the same batch id', async () => {
    const id = sessionId(1, randomBytes(10));
    writeFileSync(join(folder, `${id}.jsonl`), `${JSON.stringify({ id: 'a', at: 1, ...row('test.one') })}\n{"id":"b","ev`);
    connect({ batches: [queue()] });
    await ingest.when(() => ingest.events.size === 1);
    expect(ingest.batches).toEqual([id]);
  });

  test('that were handled but not acknowledged are sent again under their id', async () => {
    let kill = true;
    ingest.hooks.frame = (frame) => {
      if (frame.kind !== 'events' || !kill) return 'go on';
      kill = false;
      return 'done';
    };
    const events = queue();
    connect({ batches: [events] });
    events.push(row('test.twice'));
    await ingest.when(() => ingest.batches.length === 2);
    expect(ingest.events.size).toBe(1);
    expect(new Set(ingest.batches).size).toBe(1);
  });

  test('wait in memory while the disk is full', async () => {
    const events = queue(() => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    });
    events.push(row('test.memory'));
    expect(events.inMemory).toBe(1);
    connect({ batches: [events] });
    await ingest.when(() => ingest.events.size === 1);
  });

  test('wait in memory when the maximum number of batches waits on disk; the oldest in memory are dropped and counted', async () => {
    const options = { folder, now: () => Date.now(), random: (bytes: number) => randomBytes(bytes), maxBatches: 1 };
    const events = new EventQueue(options, auditRows);
    events.push(row('test.disk'));
    await events.flush();
    expect(events.full).toBe(true);
    for (let i = 0; i < 5_000; i++) events.push(row('test.memory'));
    expect(readdirSync(folder)).toHaveLength(1);
    expect(events.inMemory).toBe(4_096);
    connect({ batches: [events] });
    await ingest.when(() => ingest.events.size === 4_098);
    const dropped = [...ingest.events.values()].find(({ event }) => event === 'audit.dropped');
    expect(JSON.parse(String(dropped!['data']))).toEqual({ count: 5_000 - 4_096 });
    while (events.full) await new Promise((resolve) => setImmediate(resolve));
  });

  test('and events without a session, which wait while ingest speaks a version without them', async () => {
    ingest.hooks.version = 1;
    const free = new EventQueue(
      { folder: join(folder, 'free'), now: () => Date.now(), random: (bytes) => randomBytes(bytes) },
      { ...auditRows, table: 'events' },
    );
    const audit = queue();
    free.push(row('test.free'));
    audit.push(row('test.audit'));
    await Promise.all([free.flush(), audit.flush()]);
    const uplink = connect({ batches: [free, audit] });
    const seen = (): unknown[] => [...ingest.events.values()].map(({ event }) => event);
    await ingest.when(() => ingest.events.size === 1);
    expect(seen()).toEqual(['test.audit']);
    delete ingest.hooks.version;
    uplink.reconnect();
    await ingest.when(() => ingest.events.size === 2);
    expect(seen()).toEqual(['test.audit', 'test.free']);
    while (!free.empty) await new Promise((resolve) => setImmediate(resolve));
  });

  test('refused permanently are kept beside the queue, and reported', async () => {
    ingest.hooks.refuseEvents = (_id, rows) => (rows.some(({ event }) => event === 'test.refused') ? 'UPLINK_MALFORMED' : null);
    const told: Quarantined[] = [];
    const events = queue(undefined, (one) => told.push(one));
    connect({ batches: [events] });
    for (let i = 0; i < 50; i++) events.push({ ...row(i === 33 ? 'test.refused' : 'test.good'), session: i === 33 ? SESSION : '' });
    await ingest.when(() => ingest.events.size === 49);
    await events.flush();
    while (!events.empty) await new Promise((resolve) => setImmediate(resolve));
    expect(ingest.connections).toBe(1);
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^[0-9a-z]{26}\.refused$/)]);
    expect(told).toEqual([
      { file: readdirSync(folder)[0], rows: 1, sessions: new Map([[SESSION, 1]]), code: 'UPLINK_MALFORMED', detail: 'as the test wanted' },
    ]);
    expect(readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8')).toContain('test.refused');
  });

  test.each([
    ['not JSON', (line: string) => line.replace('"event"', '"event'), 49],
    ['a field of another kind', (line: string) => line.replace('"success"', '"perhaps"'), 49],
    ['bytes of nothing', () => '\0\0\0\0', 49],
  ])('damaged on disk (%s) are quarantined; all others arrive, over one connection', async (_name, damage, arrive) => {
    const id = sessionId(1, randomBytes(10));
    const lines = Array.from({ length: 50 }, (_, i) =>
      JSON.stringify({ id: `row-${i}`, at: i, ...row('test.row'), session: i === 7 ? SESSION : '' }),
    );
    lines[7] = damage(lines[7]!);
    writeFileSync(join(folder, `${id}.jsonl`), lines.map((line) => `${line}\n`).join(''));
    const told: Quarantined[] = [];
    const events = queue(undefined, (one) => told.push(one));
    const recorded = new Recorded(recordings, 6, 100);
    connect({ batches: [events] });
    await ingest.when(() => ingest.events.size === arrive);
    await recordings.when(() => recorded.finished);
    expect(ingest.connections).toBe(1);
    expect(told).toMatchObject([{ file: `${id}.refused`, rows: 1, code: 'UPLINK_MALFORMED' }]);
    expect(readFileSync(join(folder, `${id}.refused`), 'utf8')).toBe(`${lines[7]}\n`);
  });

  test('in a file without any readable line are quarantined unchanged', async () => {
    const id = sessionId(1, randomBytes(10));
    writeFileSync(join(folder, `${id}.jsonl`), Buffer.alloc(100));
    const told: Quarantined[] = [];
    const events = queue(undefined, (one) => told.push(one));
    connect({ batches: [events] });
    events.push(row('test.other'));
    await ingest.when(() => ingest.events.size === 1);
    expect(told).toMatchObject([{ file: `${id}.refused`, rows: 0 }]);
    expect(readFileSync(join(folder, `${id}.refused`))).toHaveLength(100);
  });

  test('that end the connection without naming the batch are found by sending one at a time; recordings continue meanwhile', async () => {
    ingest.hooks.frame = (frame) => (frame.kind === 'events' && Buffer.from(frame.payload).includes('test.poison') ? 'refuse' : 'go on');
    const ids = [1, 2, 3].map((time) => sessionId(time, randomBytes(10)));
    ids.forEach((id, i) =>
      writeFileSync(
        join(folder, `${id}.jsonl`),
        `${JSON.stringify({ id: `r${i}`, at: 1, ...row(i === 1 ? 'test.poison' : 'test.good') })}\n`,
      ),
    );
    const told: Quarantined[] = [];
    const states: UplinkState[] = [];
    const events = queue(undefined, (one) => told.push(one));
    const recorded = new Recorded(recordings, 6, 100);
    connect({ batches: [events], onState: (state) => states.push(state) });
    await ingest.when(() => ingest.events.size === 2);
    await recordings.when(() => recorded.finished);
    while (!events.empty) await new Promise((resolve) => setImmediate(resolve));
    expect(told).toMatchObject([{ file: `${ids[1]}.refused`, rows: 1 }]);
    expect(ingest.connections).toBeLessThanOrEqual(5);
  });

  test('in quarantine are limited to a number that a person can inspect', async () => {
    ingest.hooks.refuseEvents = () => 'UPLINK_MALFORMED';
    for (let i = 0; i < 200; i++)
      writeFileSync(
        join(folder, `${sessionId(i, Buffer.alloc(10))}.jsonl`),
        `${JSON.stringify({ id: `r${i}`, at: 1, ...row('test.bad') })}\n`,
      );
    const events = queue();
    connect({ batches: [events] });
    while (!events.empty) await new Promise((resolve) => setImmediate(resolve));
    const kept = readdirSync(folder).sort();
    expect(kept).toHaveLength(64);
    expect(kept.at(-1)).toBe(`${sessionId(199, Buffer.alloc(10))}.refused`);
  });
});

test('a peer that greets and hangs up is retried with growing delays', async () => {
  ingest.hooks.frame = (frame) => (frame.kind === 'open' ? 'drop' : 'go on');
  new Recorded(recordings, 3, 10);
  const waits: number[] = [];
  await new Promise<void>((resolve) => {
    connect({ onState: (state) => state.kind === 'down' && waits.push(state.retryInMs) === 5 && resolve() });
  });
  expect(waits).toEqual([50, 100, 200, 400, 800]);
});

test('an ingest on this machine that is down is dialled at least every second, one elsewhere with growing delays', async () => {
  const waitsFor = async (url: string): Promise<readonly number[]> => {
    const waits: number[] = [];
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      await new Promise<void>((resolve) => {
        connect({
          url: () => url,
          // The next attempt follows immediately.
          onState: (state) => {
            if (state.kind !== 'down') return;
            if (waits.push(state.retryInMs) === 8) resolve();
            else setImmediate(() => vi.runOnlyPendingTimers());
          },
        });
      });
    } finally {
      vi.useRealTimers();
    }
    await client!.close();
    return waits;
  };
  const port = await freePort();
  expect(await waitsFor(`ws://127.0.0.1:${port}`)).toEqual([50, 100, 200, 400, 500, 500, 500, 500]);
  // 0.0.0.0, where nothing listens, is this machine too, but the client cannot be certain of that.
  expect(await waitsFor(`ws://0.0.0.0:${port}`)).toEqual([50, 100, 200, 400, 800, 1_600, 3_200, 6_400]);
});

test('refused dials count until one is accepted: after many refusals, a connection that ends is retried at once', async () => {
  ingest.hooks.frame = (frame) => (frame.kind === 'open' ? 'drop' : 'go on');
  new Recorded(recordings, 3, 10);
  const nobody = `ws://127.0.0.1:${await freePort()}`;
  const waits: number[] = [];
  await new Promise<void>((resolve) => {
    connect({
      url: () => (waits.length < 3 ? nobody : ingest.url),
      onState: (state) => state.kind === 'down' && waits.push(state.retryInMs) === 5 && resolve(),
    });
  });
  expect(waits).toEqual([50, 100, 200, 50, 100]);
});
