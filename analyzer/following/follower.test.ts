import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EventTable, EventTables, FindingRow } from '#schemas/events/rows.js';
import { openLog } from '#runtime/log.js';
import type { EventStore } from '#stores/events/contract.js';
import type { EventFixture } from '#stores/events/conformance.js';
import { openedChdb } from '#stores/events/testing/opened.js';
import { StoreRetry } from '#stores/store-retry.js';
import type { Detector } from '../detection/detector.js';
import { SigmaDetector } from '../detectors/sigma.js';
import { FindingWriter } from '../findings/finding-writer.js';
import { makeSession, ruleFor, rulesOf } from '../testing/session-rows.js';
import type { MadeSession } from '../testing/session-rows.js';
import { DetectionRun } from './detection-run.js';
import { Follower } from './follower.js';
import { ANALYZED } from './session-run.js';

const quiet = openLog('test', 'silent');
const rules = rulesOf(
  ruleFor('alpha', '00000000-0000-4000-8000-000000000001'),
  ruleFor('beta', '00000000-0000-4000-8000-000000000002', 'low'),
);

let fixture: EventFixture;
beforeAll(async () => {
  fixture = await openedChdb();
});
afterAll(async () => {
  await fixture.store.close();
  await fixture.dispose();
});

/** The store, and a promise for the mark of each session. */
function watched(): { readonly store: EventStore; readonly marked: (session: string) => Promise<void> } {
  const marks = new Set<string>();
  const waiting = new Map<string, () => void>();
  const store = Object.create(fixture.store) as EventStore;
  store.insert = async <T extends EventTable>(table: T, rows: readonly EventTables[T][], token: string): Promise<void> => {
    await fixture.store.insert(table, rows, token);
    if (table !== 'audit') return;
    for (const { event, session } of rows as readonly EventTables['audit'][]) {
      if (event !== ANALYZED) continue;
      marks.add(session);
      waiting.get(session)?.();
    }
  };
  const passThrough = ['session', 'events', 'screenRows', 'countKinds', 'sessionsWithoutAudit', 'findings'] as const;
  for (const name of passThrough) (store[name] as unknown) = fixture.store[name].bind(fixture.store);
  return { store, marked: (session) => new Promise((resolve) => (marks.has(session) ? resolve() : waiting.set(session, resolve))) };
}

interface Life {
  readonly follower: Follower;
  /** As on a kill: nothing more is written, and nothing is awaited. */
  kill(): void;
}

function start(store: EventStore, detectors: readonly Detector[] = [new SigmaDetector(rules.evaluable)], found: FindingRow[] = []): Life {
  let dead = false;
  const retry = new StoreRetry({ firstWait: 1, longestWait: 5, onOutage: () => undefined, onRecovery: () => undefined });
  const writer = new FindingWriter(store, retry);
  const follower = new Follower({
    store,
    retry,
    log: quiet,
    clock: Date.now,
    rules: 'test',
    lookBack: 3_600_000,
    graceMs: 0,
    idleMs: 0,
    detectors,
    ruleVersion: () => 1,
    onObservation: () => undefined,
    write: async (row: FindingRow) => {
      if (dead) return new Promise<void>(() => undefined);
      found.push(row);
      await writer.add(row);
    },
    onFault: () => undefined,
    onBeyond: () => undefined,
  });
  return {
    follower,
    kill: () => {
      dead = true;
      follower.close();
      retry.close();
    },
  };
}

/** The findings of a run over the rows in order. */
async function replayed({ live, ended, events, screen }: MadeSession): Promise<readonly FindingRow[]> {
  const found: FindingRow[] = [];
  const run = await DetectionRun.open(
    {
      detectors: [new SigmaDetector(rules.evaluable)],
      ruleVersion: () => 1,
      onFinding: (row) => found.push(row),
      onObservation: () => undefined,
      onFault: () => undefined,
      onBeyond: () => undefined,
    },
    live,
  );
  for (const row of events) run.event(row);
  for (const row of screen) run.screen(row);
  run.end(ended);
  return found;
}

const byId = (a: FindingRow, b: FindingRow): number => (a.id < b.id ? -1 : 1);
const stored = async (session: string): Promise<readonly FindingRow[]> =>
  (await fixture.store.findings({ session, limit: 1000 })).rows.map(({ triage: _, ...row }) => row).sort(byId);

const empty = { events: [], screen: [], sessions: [] };
const commands = fc.array(fc.constantFrom('alpha', 'beta', 'alpha beta', 'gamma', 'alpha again'), { minLength: 1, maxLength: 12 });

describe('a session that is followed', () => {
  test('makes more rows while the store is read than wait for any other: they are taken as the feed brings them, and none is read again', async () => {
    const made = makeSession([...Array<string>(60_000).fill('gamma'), 'alpha at last'], { last: false });
    const { store } = watched();
    let release = (): void => undefined;
    const reading = new Promise<void>((resolve) => (release = resolve));
    let asked = 0;
    const session = store.session.bind(store);
    store.session = async (...of) => {
      asked += 1;
      await reading;
      return (await session(...of)) ?? made.live;
    };
    const found: FindingRow[] = [];
    const { follower, kill } = start(store, undefined, found);
    follower.take({ ...empty, events: made.events.slice(0, 110_000), sessions: [made.live] });
    release();
    // The rest arrives while the earlier rows are being taken.
    await new Promise((resolve) => setImmediate(resolve));
    follower.take({ ...empty, events: made.events.slice(110_000) });
    await expect.poll(() => found.length).toBe(1);
    expect(found[0]!.data).toContain('alpha at last');
    expect(follower.report()).toMatchObject({ rows: made.events.length, behind: 0 });
    expect(asked).toBe(1);
    kill();
  });

  test('gives the findings of a replay, whatever the feed loses or repeats, and however often the analyzer dies', async () => {
    const fate = fc.record({
      happens: fc.constantFrom('told', 'told twice', 'lost', 'killed after', 'killed and lost', 'reconnected'),
      /** Number of further batches after which the rows are in the store. */
      lag: fc.nat({ max: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(commands, fc.array(fate, { minLength: 40, maxLength: 40 }), fc.boolean(), async (ran, fates, last) => {
        const made = makeSession(ran, { last });
        const { session } = made.live;
        const { store, marked } = watched();
        let life = start(store);
        const batches = [
          { ...empty, events: made.events.slice(0, 1), sessions: [made.live] },
          ...made.events.slice(1).map((row) => ({ ...empty, events: [row] })),
          ...made.screen.map((row) => ({ ...empty, screen: [row] })),
          { ...empty, sessions: [made.ended] },
        ];
        const pending: { readonly i: number; readonly due: number; readonly batch: (typeof batches)[number] }[] = [];
        const insert = async (until: number): Promise<void> => {
          while (pending.length > 0 && pending[0]!.due <= until) {
            const { i, batch } = pending.shift()!;
            for (const table of ['events', 'screen', 'sessions'] as const)
              if (batch[table].length > 0) await fixture.store.insert(table, batch[table] as never[], `${session} ${i} ${table}`);
          }
        };
        /** What ingest does for a new connection. */
        const connect = (): void => {
          void life.follower.missed();
          for (const { batch } of pending) life.follower.take(batch);
        };
        for (const [i, batch] of batches.entries()) {
          const { happens, lag } = fates[i % fates.length]!;
          pending.push({ i, due: Math.max(i + lag, pending.at(-1)?.due ?? 0), batch });
          if (happens !== 'lost' && happens !== 'killed and lost') life.follower.take(batch);
          if (happens === 'told twice') life.follower.take(batch);
          if (happens === 'killed and lost' || happens === 'killed after') {
            life.kill();
            life = start(store);
            connect();
          } else if (happens === 'reconnected') connect();
          await insert(i);
        }
        await insert(Infinity);
        await life.follower.missed();
        await marked(session);
        life.kill();
        expect(await stored(session)).toEqual([...(await replayed(made))].sort(byId));
      }),
      { numRuns: 12 },
    );
  }, 120_000);

  test('rows that come after its mark are analyzed too', async () => {
    const made = makeSession(['gamma', 'gamma', 'alpha late'], { last: false });
    const { store, marked } = watched();
    const early = made.events.slice(0, 2);
    await fixture.store.insert('events', early, 'early');
    await fixture.store.insert('sessions', [made.live, made.ended], 'early');
    const life = start(store);
    await life.follower.sweep();
    await marked(made.live.session);
    expect(await stored(made.live.session)).toEqual([]);
    const late = made.events.slice(2);
    await fixture.store.insert('events', late, 'late');
    const again = watched();
    store.insert = again.store.insert;
    life.follower.take({ ...empty, events: late });
    await again.marked(made.live.session);
    life.kill();
    expect(await stored(made.live.session)).toHaveLength(1);
  });

  test('a detector that throws is off for that session, and the others go on', async () => {
    const made = makeSession(['alpha', 'alpha two']);
    const broken: Detector = {
      name: 'broken',
      rules: [],
      scope: { kind: 'perSession' },
      open: () => ({
        take: ({ kind }) => {
          if (kind === 'event') throw new Error('no');
          return [];
        },
      }),
    };
    for (const table of ['events', 'screen'] as const) await fixture.store.insert(table, made[table] as never[], `broken ${table}`);
    await fixture.store.insert('sessions', [made.ended], 'broken');
    const { store, marked } = watched();
    const life = start(store, [broken, new SigmaDetector(rules.evaluable)]);
    await life.follower.sweep();
    await marked(made.live.session);
    life.kill();
    expect(await stored(made.live.session)).toHaveLength(1);
  });

  test('one that has a mark is not analyzed again', async () => {
    const made = makeSession(['alpha']);
    await fixture.store.insert('events', made.events, 'marked');
    await fixture.store.insert('sessions', [made.ended], 'marked');
    const first = watched();
    const life = start(first.store);
    await life.follower.sweep();
    await first.marked(made.live.session);
    life.kill();
    const found: FindingRow[] = [];
    const next = start(watched().store, [new SigmaDetector(rules.evaluable)], found);
    await next.follower.missed();
    expect(next.follower.report().open).toBe(0);
    next.kill();
    expect(found.filter(({ session }) => session === made.live.session)).toEqual([]);
  });
});
