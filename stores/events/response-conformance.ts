/** Conformance of event stores for the response to findings, compared with plain TypeScript: part of `conformance.ts`. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RESPONSE_WITHIN_MS, responseMeasures } from '#schemas/events/response.js';
import type { Measured, ResponseMonth } from '#schemas/events/response.js';
import type { AuditRow, FindingRow, SessionRow } from '#schemas/events/rows.js';
import type { EventStore } from './contract.js';
import { exampleAuditRow, exampleFindingRow, exampleSession, exampleSessionRow } from './examples.js';

const DAY = 86_400_000;
/** No other test of the suite has findings at that time. */
const start = Date.UTC(2031, 0, 20);
const pick = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
/** Moments around findings, before them, and just inside and outside the time limit of a response. */
const moments = fc.oneof(
  fc.integer({ min: 0, max: 60 }).map((day) => start + day * DAY),
  fc.integer({ min: 0, max: 20 }).map((n) => start + n * 1000),
  pick(start + RESPONSE_WITHIN_MS - 1, start + RESPONSE_WITHIN_MS),
);

interface World {
  readonly findings: readonly FindingRow[];
  readonly sessions: readonly SessionRow[];
  readonly audit: readonly AuditRow[];
}

function worldOf(run: number): fc.Arbitrary<World> {
  const sessions = [0, 1, 2].map((n) => exampleSession(700_000 + run * 10 + n));
  const users = [`ann-${run}`, `bob-${run}`];
  const nodes = [`web-${run}`, `db-${run}`];
  const ids = Array.from({ length: 6 }, (_, n) => `response-${run}-${n}`);
  const finding = (id: string): fc.Arbitrary<FindingRow> =>
    fc
      .record({
        session: pick(...sessions, ''),
        user: pick(...users),
        node: pick(...nodes),
        at: moments,
        state: pick('open', 'open', 'suppressed'),
      })
      .chain((fields) =>
        pick('alert', 'alert', 'session', 'signal', '').map((tier) =>
          exampleFindingRow({ id, ...fields, state: fields.state as 'open', data: JSON.stringify({ tier }) }),
        ),
      );
  const targets = fc.oneof(
    pick(...sessions).chain((target) => pick('session', 'session-input').map((kind) => ({ kind, target }))),
    pick(...users).map((target) => ({ kind: 'user', target })),
    pick(...nodes).map((target) => ({ kind: 'node', target })),
    pick({ kind: 'role', target: users[0]! }),
  );
  const outcome = pick('success', 'success', 'failure') as fc.Arbitrary<AuditRow['outcome']>;
  const act = (n: number): fc.Arbitrary<AuditRow> =>
    fc.record({ at: moments, outcome }).chain(({ at, outcome: ended }) => {
      const row = (more: Partial<AuditRow>): AuditRow =>
        exampleAuditRow({ id: `response-${run}-act-${n}`, at, outcome: ended, session: '', ...more });
      return fc.oneof(
        fc
          .tuple(pick('recording.view', 'recording.follow', 'recording.search'), pick(...sessions), pick(...users, 'carol'))
          .map(([event, session, actor]) => row({ event, session, actor })),
        targets.map(({ kind, target }) =>
          row({ event: 'lock.put', data: JSON.stringify({ lock: { target_kind: kind, target }, before: null }) }),
        ),
        fc
          .tuple(pick(...sessions), pick('taken', 'limited'))
          .map(([session, kind]) => row({ event: 'response.take', session, data: JSON.stringify({ kind }) })),
        fc
          .tuple(pick(...ids), pick('open', 'acknowledged', 'resolved', 'dismissed'))
          .map(([target, state]) => row({ event: 'finding.triage', target, data: JSON.stringify({ state, version: n + 1, reason: '' }) })),
      );
    });
  return fc.record({
    findings: fc.tuple(...ids.map(finding)),
    sessions: fc.tuple(
      ...sessions.map((session) => fc.option(moments).map((ended) => exampleSessionRow({ session, started_at: start, ended_at: ended }))),
    ),
    audit: fc.tuple(...Array.from({ length: 14 }, (_, n) => act(n))),
  });
}

const first = (moments_: readonly number[]): number | null => (moments_.length === 0 ? null : Math.min(...moments_));

/** ms from the finding to each response, or null; undefined for findings that nobody should look at. */
function tookOf(finding: FindingRow, { sessions, audit }: World): Readonly<Record<string, number | null>> | undefined {
  const done = audit.filter(({ outcome }) => outcome === 'success');
  const soon = done.filter(({ at }) => at >= finding.at && at < finding.at + RESPONSE_WITHIN_MS);
  const said = done
    .filter(({ event, target }) => event === 'finding.triage' && target === finding.id)
    .map((row) => ({ at: row.at, ...(JSON.parse(row.data) as { state: string; version: number }) }))
    .sort((a, b) => a.version - b.version);
  const state = said.at(-1)?.state ?? finding.state;
  if (state === 'suppressed') return undefined;
  const opened = soon.filter(
    ({ event, session, actor }) =>
      finding.session !== '' &&
      session === finding.session &&
      actor !== finding.user &&
      ['recording.view', 'recording.follow'].includes(event),
  );
  const locks = soon.filter(({ event, session, data }) => {
    const { kind, lock } = JSON.parse(data) as { kind?: string; lock?: { target_kind: string; target: string } };
    if (event === 'response.take') return kind === 'taken' && session === finding.session;
    if (event !== 'lock.put') return false;
    const own: Readonly<Record<string, string>> = {
      session: finding.session,
      'session-input': finding.session,
      user: finding.user,
      node: finding.node,
    };
    return own[lock!.target_kind] === lock!.target;
  });
  const look = first([...opened.map(({ at }) => at), ...said.map(({ at }) => at)]);
  const lock = first(locks.map(({ at }) => at));
  const over = sessions.find(({ session }) => session === finding.session)?.ended_at ?? null;
  const closed = state === 'resolved' || state === 'dismissed' ? (said.at(-1)?.at ?? null) : null;
  const since = (at: number | null): number | null => (at === null ? null : Math.max(0, at - finding.at));
  return {
    look: since(look),
    lock: since(lock),
    ended: since(lock !== null && over !== null && over >= lock && over < finding.at + RESPONSE_WITHIN_MS ? over : null),
    closed: since(closed),
  };
}

function measured(values: readonly number[]): Measured {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (level: number): number => sorted[Math.min(sorted.length - 1, Math.floor(level * sorted.length))]!;
  return sorted.length === 0 ? { count: 0, median: null, p90: null } : { count: sorted.length, median: at(0.5), p90: at(0.9) };
}

function expectedOf(world: World): readonly ResponseMonth[] {
  const months = new Map<number, Readonly<Record<string, number | null>>[]>();
  for (const finding of world.findings) {
    if ((JSON.parse(finding.data) as { tier: string }).tier === 'signal') continue;
    const took = tookOf(finding, world);
    if (took === undefined) continue;
    const date = new Date(finding.at);
    const month = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
    months.set(month, [...(months.get(month) ?? []), took]);
  }
  return [...months]
    .sort(([a], [b]) => a - b)
    .map(([month, all]) => {
      const values = responseMeasures.map((measure) => [measure, measured(all.flatMap((took) => took[measure] ?? []))]);
      return { month, findings: all.length, ...Object.fromEntries(values) } as ResponseMonth;
    });
}

export function responseConformance(opened: () => EventStore): void {
  describe('response to findings', () => {
    test('matches the rows, however often and in whatever order they arrived', async () => {
      let run = 0;
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 0, max: 0x7fff_ffff }), async (seed) => {
          run += 1;
          const [world] = fc.sample(worldOf(run), { numRuns: 1, seed }) as [World];
          const store = opened();
          await store.insert('sessions', world.sessions, `response ${run} sessions`);
          await store.insert('audit', world.audit.toReversed(), `response ${run} audit`);
          await store.insert('audit', world.audit.slice(0, 5), `response ${run} audit again`);
          await store.insert('findings', world.findings, `response ${run} findings`);
          await store.insert('findings', world.findings.slice(2), `response ${run} findings again`);
          // Only rows of this run: restrict the viewer to the sessions of this run's users.
          for (const user of [`ann-${run}`, `bob-${run}`]) {
            const own = { ...world, findings: world.findings.filter((finding) => finding.user === user) };
            const query = { from: start - DAY, to: start + 100 * DAY, user, tiers: ['alert', 'session'] } as const;
            expect(await store.responseByMonth(query)).toEqual(expectedOf(own));
          }
        }),
        { numRuns: 15 },
      );
    }, 120_000);

    test('a time without findings has none', async () => {
      expect(await opened().responseByMonth({ from: 0, to: 1, tiers: ['alert'] })).toEqual([]);
    });
  });
}
