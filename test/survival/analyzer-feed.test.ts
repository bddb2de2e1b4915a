import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RowFeed } from '../../ingest/feed/row-feed.js';
import { detectorsOf } from '../../analyzer/detectors/detector-set.js';
import type { AnalyzerParts } from '../../analyzer/main.js';
import { makeSession, ruleFor, rulesOf } from '../../analyzer/testing/session-rows.js';
import { openFeedWorld } from './feeding.js';
import type { FeedWorld } from './feeding.js';

const rules = detectorsOf({ ...rulesOf(ruleFor('alpha', '00000000-0000-4000-8000-000000000001')), hash: 'test', files: 1 });
const empty = { events: [], screen: [], sessions: [] };

let world: FeedWorld;
beforeAll(async () => {
  world = await openFeedWorld();
});
afterAll(() => world.close());

const feeding: FeedWorld['feeding'] = (...asked) => world.feeding(...asked);
const store: FeedWorld['store'] = (made) => world.store(made);
const analyzing = (ingests: readonly string[], more: Partial<AnalyzerParts> = {}) => world.analyzing(ingests, { rules, ...more });

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
    expect((await world.fixture.store.findings({ session: made.live.session })).rows).toEqual([{ ...row, triage: null }]);
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
