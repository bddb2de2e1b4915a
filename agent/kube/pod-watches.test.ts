import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import pino from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import type { KernelReport } from '#schemas/kernel/orders.js';
import { sessionId } from '#schemas/recording/line.js';
import type { ExpectedSession } from '../kernel/kernel-recorder.js';
import { PodWatches } from './pod-watches.js';

const id = 'a'.repeat(64);

/** Requests to the recorder, and the kernel's count. */
interface Asked {
  readonly argv: readonly string[];
  readonly report: (report: KernelReport) => void;
  matches: number;
  readonly told: string[];
}

/** A control group with this process and its parent. */
let group: string;
let asked: Asked[];
let watches: PodWatches;
const recorder = {
  expect: (_order: unknown, _way: unknown, report: (report: KernelReport) => void, { exec }: { exec: { argv: readonly string[] } }) => {
    const one: Asked = { argv: exec.argv, report, matches: 0, told: [] };
    asked.push(one);
    const session: ExpectedSession = {
      window: { matches: () => one.matches, close: () => void one.told.push('closed') },
      settle: async () => void one.told.push('settled'),
      end: () => void one.told.push('ended'),
    };
    return session;
  },
  attach: (_order: unknown, _way: unknown, report: (report: KernelReport) => void) => {
    const one: Asked = { argv: [], report, matches: 0, told: [] };
    asked.push(one);
    return {
      processes: { add: (pid: number) => one.told.push(String(pid)) > 0, remove: () => undefined },
      settle: async () => void one.told.push('settled'),
      end: () => void one.told.push('ended'),
    };
  },
};

beforeEach(() => {
  group = mkdtempSync(join(tmpdir(), 'steno-group-'));
  writeFileSync(join(group, 'cgroup.procs'), `${process.pid}\n${process.ppid}\n`);
  asked = [];
  watches = new PodWatches({
    recorder,
    log: pino({ level: 'silent' }),
    find: async (wanted) => (wanted === id ? { pid: process.pid, mntNs: 7, podUid: 'uid-1', group } : null),
    turnMs: 50,
  });
  return () => rmSync(group, { recursive: true });
});

/** The gateway's side of a conversation. */
class Gateway {
  readonly reports: { readonly state: string; readonly reason?: string }[] = [];
  ended = false;
  readonly #gateway: Duplex;
  readonly #agent: Duplex;

  constructor(argv: readonly string[], more: object = {}) {
    let far: Duplex;
    const near = new Duplex({
      read: () => undefined,
      write: (chunk, _, done) => (far.push(chunk), done()),
      final: (done) => (far.push(null), done()),
    });
    far = new Duplex({
      read: () => undefined,
      write: (chunk, _, done) => (near.push(chunk), done()),
      final: (done) => (near.push(null), done()),
    });
    this.#gateway = near;
    this.#agent = far;
    near.on('data', (chunk: Buffer) =>
      this.reports.push(
        ...(chunk
          .toString()
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)) as never[]),
      ),
    );
    near.on('end', () => (this.ended = true));
    watches.take(far);
    const session = sessionId(1_000_000, new Uint8Array(10));
    const order = { session, mode: 'strict', classes: ['exec'], offset_ms: 1, error_ms: 1, reports: ['read'] };
    this.say({ ...order, container: id, pod_uid: 'uid-1', namespace: 'shop', pod: 'web', argv, ...more });
  }

  say(message: object): void {
    this.#gateway.write(`${JSON.stringify(message)}\n`);
  }

  end(): void {
    this.#gateway.end();
  }

  /** Whether the agent disconnected. */
  get cutOff(): boolean {
    return this.#agent.destroyed;
  }

  get last(): string | undefined {
    const report = this.reports.at(-1);
    return report?.reason ?? report?.state;
  }
}

const on = (gateway: Gateway): Promise<void> => expect.poll(() => gateway.last).toBe('on');

describe('a command in a container', () => {
  it('is expected, seen to start, and over when the gateway says so: what is missing was reported before', async () => {
    const gateway = new Gateway(['sh']);
    await on(gateway);
    expect(asked[0]!.argv).toEqual(['sh']);
    asked[0]!.matches = 1;
    await expect.poll(() => gateway.last).toBe('started');
    gateway.say({ said: 'shown' });
    await expect.poll(() => asked[0]!.told).toEqual(['closed']);
    asked[0]!.report({ state: 'gap', why: 'ring_full', count: 3, first_ms: 1, last_ms: 2 });
    gateway.end();
    await expect.poll(() => gateway.ended).toBe(true);
    expect(asked[0]!.told.filter((one) => one !== 'closed').slice(0, 2)).toEqual(['settled', 'ended']);
    expect(gateway.reports.map(({ state }) => state)).toEqual(['on', 'started', 'gap']);
  });

  it('is not told from another one that starts in its window', async () => {
    const gateway = new Gateway(['sh']);
    await on(gateway);
    asked[0]!.matches = 2;
    await expect.poll(() => gateway.last).toMatch(/which is which cannot be told/);
  });

  it('is not told from another one that starts before it has shown anything', async () => {
    const gateway = new Gateway(['sh']);
    await on(gateway);
    asked[0]!.matches = 1;
    await expect.poll(() => gateway.last).toBe('started');
    asked[0]!.matches = 2;
    gateway.say({ said: 'shown' });
    await expect.poll(() => gateway.last).toMatch(/which is which cannot be told/);
  });

  it('that was not recognized is said to be so once it has shown something', async () => {
    const gateway = new Gateway(['sh']);
    await on(gateway);
    gateway.say({ said: 'shown' });
    await expect.poll(() => gateway.last).toMatch(/not recognized/);
  });

  it('waits for one of the same words, and not for others', async () => {
    const first = new Gateway(['sh']);
    await on(first);
    const [second, other] = [new Gateway(['sh']), new Gateway(['bash'])];
    await on(other);
    expect(asked.map(({ argv }) => argv)).toEqual([['sh'], ['bash']]);
    asked[0]!.matches = 1;
    first.say({ said: 'shown' });
    await on(second);
    expect(asked.map(({ argv }) => argv)).toEqual([['sh'], ['bash'], ['sh']]);
  });

  it('waits no longer than a while', async () => {
    await on(new Gateway(['sh']));
    const second = new Gateway(['sh']);
    await expect.poll(() => second.last).toMatch(/which is which could not be told/);
    expect(asked).toHaveLength(1);
  });

  it.each([
    ['whose container runs elsewhere', { container: 'b'.repeat(64) }, /no container b{12} runs/],
    ['whose container is of another pod', { pod_uid: 'uid-2' }, /of another pod/],
  ])('%s is refused', async (_, more, reason) => {
    const gateway = new Gateway(['sh'], more);
    await expect.poll(() => gateway.last).toMatch(reason);
    expect(asked).toEqual([]);
    gateway.end();
    await expect.poll(() => gateway.ended).toBe(true);
  });

  it('whose order cannot be read ends the conversation', async () => {
    const gateway = new Gateway(['sh'], { session: 'none' });
    await expect.poll(() => gateway.cutOff).toBe(true);
    expect([asked, gateway.reports]).toEqual([[], []]);
  });
});

describe('attaching to a container', () => {
  it('follows what runs in it, and is what somebody does alone, until it is over', async () => {
    const first = new Gateway([]);
    await expect.poll(() => first.reports.map(({ state }) => state)).toEqual(['on', 'started']);
    expect(asked[0]!.told).toEqual([String(process.pid), String(process.ppid)]);
    first.say({ said: 'shown' });
    const second = new Gateway([]);
    await expect.poll(() => second.last).toMatch(/somebody else is attached/);
    await on(new Gateway(['sh']));
    first.end();
    await expect.poll(() => first.ended).toBe(true);
    expect(asked[0]!.told.slice(2, 4)).toEqual(['settled', 'ended']);
    const third = new Gateway([]);
    await expect.poll(() => third.last).toBe('started');
  });
});
