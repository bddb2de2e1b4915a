import { pino } from 'pino';
import { afterEach, expect, test, vi } from 'vitest';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import type { Held } from '#runtime/service/authority-client.js';
import { Presence } from './presence.js';

/** An authority that keeps the reports it receives, and answers when the test says so. */
class Authority {
  readonly heard: Held[] = [];
  readonly nodes = new Set<string>();
  readonly sessions = new Set<string>();
  ingest = '';
  answer: 'known' | 'unknown' | 'away' = 'known';
  /** A report is answered once this resolves. */
  gate: Promise<void> = Promise.resolve();

  readonly tell = async (held: Held): Promise<boolean> => {
    this.heard.push(held);
    await this.gate;
    if (this.answer === 'away') throw new Error('away');
    if (this.answer === 'unknown' && held.all === undefined) return false;
    if (held.all !== undefined) {
      this.nodes.clear();
      this.sessions.clear();
    }
    for (const name of [...(held.all ?? []), ...held.up]) this.nodes.add(name);
    for (const name of held.down) this.nodes.delete(name);
    for (const id of held.sessions?.up ?? []) this.sessions.add(id);
    for (const id of held.sessions?.down ?? []) this.sessions.delete(id);
    this.ingest = held.ingest;
    return true;
  };
}

afterEach(() => void vi.useRealTimers());

function begun(): { readonly authority: Authority; readonly presence: Presence; readonly pass: (ms: number) => Promise<void> } {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  const authority = new Authority();
  const presence = new Presence({ tell: authority.tell, address: () => 'gw:8024', log: pino({ level: 'silent' }) });
  return { authority, presence, pass: (ms) => vi.advanceTimersByTimeAsync(ms).then(() => undefined) };
}

test('everything is reported at the start, then changes: a tunnel at once, sessions within a quarter of a second', async () => {
  const { authority, presence, pass } = begun();
  presence.node('web-1', true);
  presence.session('s1', true);
  presence.ingest('ingest/a');
  await pass(1_000);
  expect(authority.heard).toEqual([]);
  presence.start();
  await pass(0);
  expect(authority.heard).toMatchObject([{ address: 'gw:8024', ingest: 'ingest/a', all: ['web-1'], sessions: { up: ['s1'], down: [] } }]);
  presence.session('s2', true);
  await pass(249);
  expect(authority.heard).toHaveLength(1);
  presence.node('web-2', true);
  await pass(0);
  expect(authority.heard[1]).toMatchObject({ up: ['web-2'], down: [], sessions: { up: ['s2'], down: [] } });
  presence.close();
});

test('a session that ends before its report is never reported; one that ends during the report is reported as ended', async () => {
  const { authority, presence, pass } = begun();
  presence.start();
  await pass(0);
  presence.session('short', true);
  presence.session('short', false);
  presence.session('s1', true);
  let open: (() => void) | undefined;
  authority.gate = new Promise((resolve) => (open = resolve));
  await pass(250);
  presence.session('s1', false);
  open!();
  await pass(250);
  expect(authority.heard.slice(1).map(({ sessions }) => sessions)).toEqual([
    { up: ['s1'], down: [] },
    { up: [], down: ['s1'] },
  ]);
  presence.close();
});

test('a beat ends each silence; a report also says when another ingest receives the recordings', async () => {
  const { authority, presence, pass } = begun();
  presence.start();
  await pass(2_500);
  expect(authority.heard).toHaveLength(2);
  presence.ingest('ingest/b');
  await pass(0);
  expect(authority.ingest).toBe('ingest/b');
  presence.close();
});

test.each(['away', 'unknown'] as const)('everything is reported again to an authority that was %s', async (answer) => {
  const { authority, presence, pass } = begun();
  presence.start();
  presence.session('s1', true);
  presence.node('web-1', true);
  await pass(250);
  authority.answer = answer;
  presence.session('s1', false);
  presence.session('s2', true);
  await pass(5_000);
  authority.answer = 'known';
  await pass(5_000);
  expect([[...authority.nodes], [...authority.sessions]]).toEqual([['web-1'], ['s2']]);
  presence.close();
});

test('sessions that do not fit in one message follow in the next', async () => {
  const { authority, presence, pass } = begun();
  for (let i = 0; i < 2_500; i += 1) presence.session(`s${i}`, true);
  for (let i = 0; i < 1_200; i += 1) presence.node(`n${i}`, true);
  presence.start();
  await pass(10);
  expect([authority.sessions.size, authority.nodes.size]).toEqual([2_500, 1_200]);
  expect(authority.heard).toHaveLength(3);
  presence.close();
  await pass(0);
  expect([authority.sessions.size, authority.nodes.size]).toEqual([0, 0]);
});

test('the participants of a session are reported after its name, again when they change, and not after it has ended', async () => {
  const { authority, presence, pass } = begun();
  const details = (session: string, awaits: string): LiveSessionDetails => ({
    ...{ session, user: 'alice', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels: null },
    ...{ participants: [{ user: 'alice', mode: 'owner', since: 1 }], others: 0, awaits },
  });
  presence.start();
  await pass(0);
  let awaits = '1 moderator';
  presence.session('s1', true, () => details('s1', awaits));
  presence.session('s2', true);
  await pass(250);
  expect(authority.heard.at(-1)!.sessions).toEqual({ up: ['s1', 's2'], down: [], details: [details('s1', '1 moderator')] });
  awaits = '';
  presence.changed('s1');
  presence.changed('s2');
  presence.changed('unknown');
  await pass(250);
  expect(authority.heard.at(-1)!.sessions).toEqual({ up: [], down: [], details: [details('s1', '')] });
  const count = authority.heard.length;
  presence.session('s1', false);
  presence.changed('s1');
  await pass(250);
  expect(authority.heard.slice(count).map(({ sessions }) => sessions)).toEqual([{ up: [], down: ['s1'] }]);
  presence.close();
});

test('details of many sessions are sent in messages small enough for the authority', async () => {
  const { authority, presence, pass } = begun();
  const labels = { a: 'x'.repeat(4_000) };
  for (let i = 0; i < 100; i++)
    presence.session(`s${i}`, true, () => ({
      ...{ session: `s${i}`, user: 'alice', node: 'web-1', login: 'root', kind: 'shell', started_at: 1, labels },
      ...{ participants: [], others: 0, awaits: '' },
    }));
  presence.start();
  await pass(1_000);
  const told = authority.heard.flatMap(({ sessions }) => sessions?.details ?? []).map(({ session }) => session);
  expect(new Set(told).size).toBe(100);
  expect(told).toHaveLength(100);
  for (const held of authority.heard) expect(JSON.stringify(held).length).toBeLessThan(128 << 10);
  presence.close();
});
