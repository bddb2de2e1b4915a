import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Snapshot } from '#schemas/snapshot.js';
import { WatchReader, ordered } from '#schemas/watch.js';
import type { WatchMessage } from '#schemas/watch.js';
import { anySnapshot, emptySnapshot } from '../schemas/testing/snapshots.js';
import { SnapshotLog } from './watch-log.js';

/** A watcher, and the messages in flight to it: a connection delivers in order, and loses undelivered messages when it is cut. */
interface Watching {
  readonly reader: WatchReader;
  /** `plain`: a watcher that does not support deltas. */
  readonly plain: boolean;
  inFlight: string[] | null;
}

type Step =
  | { readonly kind: 'change'; readonly to: Snapshot }
  | { readonly kind: 'connect' | 'cut'; readonly watcher: number }
  | { readonly kind: 'deliver'; readonly watcher: number; readonly messages: number }
  | { readonly kind: 'restart' };

const WATCHERS = 3;
const watcher = fc.nat(WATCHERS - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: anySnapshot.map((to) => ({ kind: 'change' as const, to })) },
  { weight: 3, arbitrary: watcher.map((of) => ({ kind: 'connect' as const, watcher: of })) },
  { weight: 2, arbitrary: watcher.map((of) => ({ kind: 'cut' as const, watcher: of })) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(watcher, fc.integer({ min: 1, max: 4 }))
      .map(([of, messages]) => ({ kind: 'deliver' as const, watcher: of, messages })),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);

const messages = (log: SnapshotLog, { reader, plain }: Watching): string[] => (plain ? [log.plain()] : [...log.since(reader.position)]);
const take = (watching: Watching, count: number): void => {
  for (const text of watching.inFlight?.splice(0, count) ?? []) watching.reader.take(JSON.parse(text) as WatchMessage | Snapshot);
};

describe('whoever watches', () => {
  test('ends with the snapshot, whatever changes, losses, resumes and restarts came before, and sees no version go back', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 0, max: 3 }), (steps, maxDeltas) => {
        let version = 1;
        let state: Snapshot = { ...emptySnapshot, version };
        const begin = (): SnapshotLog => new SnapshotLog(state, { maxDeltas });
        let log = begin();
        const all: Watching[] = Array.from({ length: WATCHERS }, (_, i) => ({ reader: new WatchReader(), plain: i === 0, inFlight: null }));
        const seen = new Map<Watching, number>();
        for (const each of steps) {
          switch (each.kind) {
            case 'change': {
              state = { ...each.to, version: ++version };
              const text = log.publish(state);
              if (text !== null) for (const one of all) one.inFlight?.push(one.plain ? log.plain() : text);
              break;
            }
            case 'connect':
              all[each.watcher]!.inFlight = messages(log, all[each.watcher]!);
              break;
            case 'cut':
              all[each.watcher]!.inFlight = null;
              break;
            case 'deliver': {
              const one = all[each.watcher]!;
              take(one, each.messages);
              const now = one.reader.snapshot?.version ?? 0;
              expect(now).toBeGreaterThanOrEqual(seen.get(one) ?? 0);
              seen.set(one, now);
              break;
            }
            case 'restart':
              log = begin();
              for (const one of all) one.inFlight = null;
              break;
          }
        }
        for (const one of all) {
          one.inFlight ??= messages(log, one);
          take(one, Infinity);
          expect({ ...one.reader.snapshot, version: 0 }).toEqual(ordered({ ...state, version: 0 }));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('after a short absence is told what it missed, after a long one everything', () => {
    const log = new SnapshotLog({ ...emptySnapshot, version: 1 }, { maxDeltas: 2 });
    const reader = new WatchReader();
    for (const text of log.since(null)) reader.take(JSON.parse(text) as WatchMessage);
    const kinds = (): string[] => log.since(reader.position).map((text) => (JSON.parse(text) as WatchMessage).kind);
    expect(kinds()).toEqual(['resumed']);
    log.publish({ ...emptySnapshot, version: 2, cluster: 'b' });
    log.publish({ ...emptySnapshot, version: 3, cluster: 'c' });
    expect(kinds()).toEqual(['resumed', 'delta', 'delta']);
    log.publish({ ...emptySnapshot, version: 4, cluster: 'd' });
    expect(kinds()).toEqual(['snapshot']);
  });

  test('of another run is told everything', () => {
    const reader = new WatchReader();
    const [one, other] = [new SnapshotLog({ ...emptySnapshot, version: 1 }), new SnapshotLog({ ...emptySnapshot, version: 1 })];
    for (const text of one.since(null)) reader.take(JSON.parse(text) as WatchMessage);
    expect(other.since(reader.position).map((text) => (JSON.parse(text) as WatchMessage).kind)).toEqual(['snapshot']);
  });
});
