import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import type { FindingRow } from '#schemas/events/rows.js';
import { ROW_FEED_PATH } from '#schemas/row-feed.js';
import { UPLINK_PROTOCOL } from '#schemas/uplink.js';
import { openLog } from '#runtime/log.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import { RowFeed } from '../../ingest/feed/row-feed.js';
import { ServiceAuthority } from '../../ingest/testing/gateway.js';
import { detectorsOf } from '../../analyzer/detectors/detector-set.js';
import { startAnalyzer } from '../../analyzer/main.js';
import type { AnalyzerParts, RunningAnalyzer } from '../../analyzer/main.js';
import { makeSession, ruleFor, rulesOf } from '../../analyzer/testing/session-rows.js';

const quiet = openLog('test', 'silent');
const rules = detectorsOf({ ...rulesOf(ruleFor('alpha', '00000000-0000-4000-8000-000000000001')), hash: 'test', files: 1 });
const empty = { events: [], screen: [], sessions: [] };

let fixture: EventFixture;
let services: ServiceAuthority;
let client: AnalyzerParts['tls'] extends () => infer T ? T : never;
beforeAll(async () => {
  fixture = await openedChdb();
  services = await ServiceAuthority.create();
  client = { ...(await services.certify('analyzer/one')), checkServerIdentity: () => undefined } as typeof client;
});
afterAll(async () => {
  await fixture.store.close();
  await fixture.dispose();
});

/** The feed of an ingest on a port of its own. */
async function feeding(feed: RowFeed, port = 0) {
  const server = createServer(await services.certify('ingest/local'));
  const sockets = new WebSocketServer({ server, path: ROW_FEED_PATH, handleProtocols: () => UPLINK_PROTOCOL });
  let followers = 0;
  const waiting: (() => void)[] = [];
  sockets.on('connection', (socket) => {
    feed.add(socket);
    followers += 1;
    for (const wake of waiting.splice(0)) wake();
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    url: `wss://127.0.0.1:${bound}`,
    sockets,
    followed: async (count = 1): Promise<void> => {
      while (followers < count) await new Promise<void>((resolve) => waiting.push(resolve));
    },
    stop: async (): Promise<void> => {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function analyzing(
  ingests: readonly string[],
  more: Partial<AnalyzerParts> = {},
): { analyzer: RunningAnalyzer; found: (session: string) => Promise<FindingRow> } {
  const rows: FindingRow[] = [];
  const waiting: (() => void)[] = [];
  const analyzer = startAnalyzer({
    events: fixture.store,
    ingests,
    tls: () => client,
    rules,
    lookBack: 3_600_000,
    log: quiet,
    clock: Date.now,
    graceMs: 0,
    onWritten: (row) => {
      rows.push(row);
      for (const wake of waiting.splice(0)) wake();
    },
    ...more,
  });
  return {
    analyzer,
    found: async (session) => {
      for (;;) {
        const row = rows.find((one) => one.session === session);
        if (row !== undefined) return row;
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

const store = async (made: ReturnType<typeof makeSession>): Promise<void> => {
  await fixture.store.insert('events', made.events, `${made.live.session} events`);
  await fixture.store.insert('screen', made.screen, `${made.live.session} screen`);
  await fixture.store.insert('sessions', [made.live], `${made.live.session} live`);
};

describe('an analyzer and the feed of an ingest', () => {
  test('a row from the feed becomes a finding in the store', async () => {
    const feed = new RowFeed();
    const ingest = await feeding(feed);
    const { analyzer, found } = analyzing([ingest.url]);
    await ingest.followed();
    const made = makeSession(['alpha', 'beta']);
    await store(made);
    feed.publish({ events: made.events, screen: made.screen, sessions: [made.live] });
    const row = await found(made.live.session);
    expect(row).toMatchObject({ session: made.live.session, severity: 'high' });
    expect((await fixture.store.findings({ session: made.live.session })).rows).toEqual([{ ...row, triage: null }]);
    expect(analyzer.analysis().report).toMatchObject({ active: true, feeds_open: 1, rules: rules.rules, findings_dropped: 0 });
    await analyzer.close();
    await ingest.stop();
  });

  test('rows stored while the ingest was away are found when it is back', async () => {
    const feed = new RowFeed();
    const ingest = await feeding(feed);
    const { analyzer, found } = analyzing([ingest.url]);
    await ingest.followed();
    await ingest.stop();
    const made = makeSession(['alpha meanwhile']);
    await store(made);
    const again = await feeding(feed, ingest.port);
    await again.followed();
    expect(await found(made.live.session)).toMatchObject({ severity: 'high' });
    await analyzer.close();
    await again.stop();
  });

  test('disconnects from an ingest that sends invalid rows, and reconnects later', async () => {
    const feed = new RowFeed();
    const ingest = await feeding(feed);
    ingest.sockets.once('connection', (socket) => socket.send('{"events":1}'));
    const { analyzer } = analyzing([ingest.url]);
    await ingest.followed(2);
    await analyzer.close();
    await ingest.stop();
  });

  test('a follower that does not read is disconnected and loses no row', async () => {
    const feed = new RowFeed(1);
    const ingest = await feeding(feed);
    const { analyzer, found } = analyzing([ingest.url]);
    await ingest.followed();
    const large = 'x'.repeat(4_000);
    const made = makeSession([...Array.from({ length: 2_000 }, () => `beta ${large}`), 'alpha after it']);
    await store(made);
    feed.publish({ ...empty, events: made.events, sessions: [made.live] });
    await ingest.followed(2);
    expect((await found(made.live.session)).data).toContain('alpha after it');
    await analyzer.close();
    await ingest.stop();
  });

  test('new rules are applied to the earlier events of a live session', async () => {
    const feed = new RowFeed();
    const ingest = await feeding(feed);
    const { analyzer, found } = analyzing([ingest.url]);
    await ingest.followed();
    const made = makeSession(['gamma'], { last: false });
    await store(made);
    feed.publish({ events: made.events, screen: made.screen, sessions: [made.live] });
    const id = '00000000-0000-4000-8000-000000000002';
    analyzer.reload(detectorsOf({ ...rulesOf(ruleFor('gamma', id)), hash: 'other', files: 1 }));
    expect(await found(made.live.session)).toMatchObject({ rule: id });
    await analyzer.close();
    await ingest.stop();
  });

  test('one of two analyzers works; the other takes over', async () => {
    const feed = new RowFeed();
    const ingest = await feeding(feed);
    let holder: symbol | null = null;
    const alone = (): NonNullable<AnalyzerParts['alone']> => async (name, work) => {
      if (holder !== null) return { kind: 'held elsewhere' };
      const own = (holder = Symbol(name));
      try {
        return { kind: 'done', result: await work({ name, token: 1, signal: new AbortController().signal, check: async () => undefined }) };
      } finally {
        if (holder === own) holder = null;
      }
    };
    const first = analyzing([ingest.url], { alone: alone() });
    await ingest.followed();
    const second = analyzing([ingest.url], { alone: alone() });
    expect([first.analyzer.analysis().report.active, second.analyzer.analysis().report.active]).toEqual([true, false]);
    await first.analyzer.close();
    await ingest.followed(2);
    expect(second.analyzer.analysis().report.active).toBe(true);
    await second.analyzer.close();
    await ingest.stop();
  });
});
