/** Correlations in the stream and in ClickHouse: generated correlations and events, in generated orders of arrival, some of them twice. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import { ClickHouseEventStore } from '#stores/events/clickhouse/store.js';
import { openEngine } from '#stores/events/engine/engine.js';
import type { Engine } from '#stores/events/engine/engine.js';
import { migrate } from '#stores/events/migrations/migrate.js';
import { literal } from '#stores/events/queries/visible.js';
import { loadRules } from '../sigma/rule-set.js';
import type { CorrelationPlan } from '../sigma/rule-set.js';
import { correlationSql } from './sql.js';
import { CorrelationStream, SETTLES_AFTER } from './stream.js';

const rules = ['a', 'b', 'c']
  .map(
    (name) =>
      `title: ${name}\nname: ${name}\nlogsource: { category: process_creation }\ndetection: { s: { Image|endswith: ${name} }, condition: s }\n`,
  )
  .concat('title: n\nname: n\nlogsource: { category: network_connection }\ndetection: { s: { Initiated: true }, condition: s }\n')
  .join('---\n');

/** `inner`, if a correlation names it, comes before that correlation. */
function plansOf(correlations: readonly string[]): readonly CorrelationPlan[] {
  const text = [rules, ...correlations.map((one, i) => `title: k${i}\nname: k${i}\ncorrelation: ${one}\n`)].join('---\n');
  const { correlations: plans, lacking, faults } = loadRules([{ name: 'c.yml', text }]);
  expect([lacking.map(({ missing }) => missing), faults.map(({ detail }) => detail)]).toEqual([[], []]);
  return plans;
}

const START = 1_800_000_000_000;
const base: EventRow = {
  session: '', source: 'kernel', emitter: 'agent/x', block: 1, index: 0, at: START, offset_ms: 0, kind: 'exec', user: '', node: '', login: 'root', ...noFacts, outcome: 'success',
}; // prettier-ignore

/** Moments on a coarse grid, so that many coincide, and many differ by exactly one time span. */
const facts: fc.Arbitrary<Partial<EventRow>> = fc
  .tuple(
    fc.nat(60).map((n) => START + n * 500),
    fc.constantFrom('ann', 'bob'),
    fc.constantFrom('web-1', ''),
    fc.constantFrom('01m81gpp13j0br7sqn8qcecmxs', '01m81gpp13j0br7sqn8qcecmxt'),
    fc.oneof(
      fc.constantFrom('/a', '/b', '/c', '/ba', '/none').map((path): Partial<EventRow> => ({ path })),
      fc
        .tuple(fc.constantFrom('10.0.0.1', '10.0.0.2', ''), fc.constantFrom(22, 80, 443, null))
        .map(([address, port]): Partial<EventRow> => ({ kind: 'connect', name: 'tcp', address, port })),
    ),
  )
  .map(([at, user, node, session, what]) => ({ at, user, node, session, ...what }));

const events = fc
  .array(facts, { minLength: 20, maxLength: 60 })
  .map((all) => all.map((one, index): EventRow => ({ ...base, ...one, index })));

const groupBy = fc.constantFrom('[SessionUser]', '[SessionId]', '[Computer, SessionUser]', '[]');
const timespan = fc.constantFrom('1s', '2s', '5s', '30s');
const few = fc.constantFrom('gte: 2', 'gt: 2', 'gte: 4', 'eq: 2', 'lte: 1', 'neq: 1', 'gte: 2, lt: 4');
const amount = fc.constantFrom('gt: 79', 'gte: 80', 'lte: 60.5', 'eq: 22', 'gt: 300', 'neq: 80');
const names = fc.shuffledSubarray(['a', 'b', 'c', 'n'], { minLength: 2 });

const plain: fc.Arbitrary<string> = fc.oneof(
  fc.tuple(names, few, timespan, groupBy).map(([of, bound, span, by]) => `{ type: event_count, rules: [${of.join(', ')}], timespan: ${span}, group-by: ${by}, condition: { ${bound} } }`),
  fc.tuple(few, timespan, groupBy).map(([bound, span, by]) => `{ type: value_count, rules: n, timespan: ${span}, group-by: ${by}, condition: { field: DestinationPort, ${bound} } }`),
  fc.tuple(fc.constantFrom('value_sum', 'value_avg', 'value_median'), amount, timespan, groupBy).map(([type, bound, span, by]) => `{ type: ${type}, rules: n, timespan: ${span}, group-by: ${by}, condition: { field: DestinationPort, ${bound} } }`),
  fc.tuple(fc.constantFrom(0, 10, 75, 95, 100), amount, timespan, groupBy).map(([percentile, bound, span, by]) => `{ type: value_percentile, rules: n, timespan: ${span}, group-by: ${by}, condition: { field: DestinationPort, percentile: ${percentile}, ${bound} } }`),
  fc.tuple(names, timespan, groupBy).map(([of, span, by]) => `{ type: temporal, rules: [${of.join(', ')}], timespan: ${span}, group-by: ${by} }`),
  fc.tuple(fc.constantFrom('a and not b', 'a and (b or c)', 'b or not (a and c)', '1 of them and not c', '{ gte: 2 }', '{ eq: 1 }'), timespan, groupBy).map(([condition, span, by]) => `{ type: temporal, rules: [a, b, c], timespan: ${span}, group-by: ${by}, condition: ${condition} }`),
  fc.tuple(names, timespan, groupBy).map(([of, span, by]) => `{ type: temporal_ordered, rules: [${of.join(', ')}], timespan: ${span}, group-by: ${by} }`),
  fc.tuple(timespan, groupBy).map(([span, by]) => `{ type: temporal_ordered, rules: [a, b, a], timespan: ${span}, group-by: ${by} }`),
); // prettier-ignore

/** Two correlations of which the first names the second, or the second alone. */
const correlations: fc.Arbitrary<readonly string[]> = fc.oneof(
  { weight: 3, arbitrary: plain.map((one) => [one]) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        plain.filter((one) => !one.includes('group-by: []') && !one.includes('[SessionId]')).map((one) => one.replace('[Computer, SessionUser]', '[SessionUser]')),
        fc.constantFrom(
          '{ type: event_count, rules: k0, timespan: 30s, group-by: [SessionUser], condition: { gte: 2 } }',
          '{ type: event_count, rules: [k0, a], timespan: 5s, group-by: [SessionUser], condition: { eq: 2 } }',
          '{ type: value_count, rules: k0, timespan: 30s, condition: { field: SessionUser, gte: 2 } }',
          '{ type: temporal, rules: [k0, c], timespan: 5s, group-by: [SessionUser] }',
          '{ type: temporal_ordered, rules: [k0, a], timespan: 5s, group-by: [who], aliases: { who: { k0: SessionUser, a: SessionUser } } }',
          '{ type: temporal_ordered, rules: [b, k0], timespan: 30s, group-by: [SessionUser] }',
        ),
      )
      .map((both) => both),
  },
); // prettier-ignore

interface Answer {
  readonly group: readonly string[];
  readonly at: number;
  readonly evidence: readonly string[];
}

const folder = mkdtempSync(join(tmpdir(), 'steno-correlation-'));
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ kind: 'chdb', path: join(folder, 'events') });
  await migrate(engine);
}, 120_000);
afterAll(async () => {
  await engine.close();
  rmSync(folder, { recursive: true, force: true });
});

async function inClickHouse(plan: CorrelationPlan): Promise<readonly Answer[]> {
  const rows = await engine.read(correlationSql(plan, literal), {});
  return sorted(rows.map(([group, at, evidence]) => ({ group: group as string[], at: Number(at), evidence: evidence as string[] })));
}

function inStream(plans: readonly CorrelationPlan[], arriving: readonly EventRow[]): ReadonlyMap<CorrelationPlan, readonly Answer[]> {
  const stream = new CorrelationStream(plans);
  const found = new Map(plans.map((plan) => [plan, new Map<string, Answer>()]));
  for (const firing of [...arriving.flatMap((row) => stream.take(row, null)), ...stream.end()]) {
    const { plan, group, bucket, at, evidence } = firing;
    const key = JSON.stringify([group, bucket]);
    const known = found.get(plan)!.get(key);
    if (known === undefined || at <= known.at) found.get(plan)!.set(key, { group, at, evidence });
  }
  expect(stream.counters).toMatchObject({ forgotten: 0, skipped: 0 });
  return new Map([...found].map(([plan, answers]) => [plan, sorted([...answers.values()])]));
}

function sorted(answers: readonly Answer[]): readonly Answer[] {
  const key = ({ at, group }: Answer): string => `${at} ${JSON.stringify(group)}`;
  return answers.toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
}

let tokens = 0;
async function store(rows: readonly EventRow[]): Promise<void> {
  await engine.command('TRUNCATE TABLE events');
  // Insert twice: rows stored twice count once.
  for (const part of [rows, rows.slice(0, 5)]) await new ClickHouseEventStore(engine).insert('events', part, `t${tokens++}`);
}

/** No row is later than the delay before a decision. */
function arrival(rows: readonly EventRow[], delays: readonly number[]): readonly EventRow[] {
  const order = rows.map((row, i) => ({ row, arrives: row.at + delays[i % delays.length]! * (SETTLES_AFTER - 1) }));
  const once = order.toSorted((a, b) => a.arrives - b.arrives).map(({ row }) => row);
  return once.flatMap((row, i) => (i % 7 === 3 ? [row, row] : [row]));
}

const seed = Number(process.env['STENO_TEST_SEED'] ?? 1_129);

describe('a correlation in ClickHouse and in the stream', () => {
  it('holds at the same moments for generated correlations, events and orders of arrival', async () => {
    let answers = 0;
    const delays = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(events, fc.array(correlations, { minLength: 6, maxLength: 6 }), delays, async (rows, many, late) => {
        await store(rows);
        for (const texts of many) {
          const plans = plansOf(texts);
          const streamed = inStream(plans, arrival(rows, late));
          for (const plan of plans) {
            const stored = await inClickHouse(plan);
            const isNested = plan.steps.some(({ kind }) => kind === 'correlation');
            const compared = (all: readonly Answer[]): unknown =>
              all.map(({ group, at, evidence }) => (isNested ? { group, at } : { group, at, evidence }));
            expect(compared(streamed.get(plan)!), texts.join('\n')).toEqual(compared(stored));
            answers += stored.length;
          }
        }
      }),
      { numRuns: Number(process.env['STENO_TEST_RUNS'] ?? 15), seed },
    );
    expect(answers).toBeGreaterThan(100);
  }, 600_000);

  it('that only more events can satisfy is found whatever the order, and no event is needed after it', () => {
    const delays = fc.array(fc.nat(1_000), { minLength: 60, maxLength: 60 });
    fc.assert(
      fc.property(events, plain, delays, (rows, text, order) => {
        if (!/gt|temporal(?!.*condition)/.test(text) || /lt|eq|avg|median|percentile/.test(text.replaceAll('gte', 'gt'))) return;
        const plans = plansOf([text]);
        const shuffled = rows.map((row, i) => ({ row, by: order[i]! })).toSorted((a, b) => a.by - b.by);
        expect(
          inStream(
            plans,
            shuffled.map(({ row }) => row),
          ),
        ).toEqual(
          inStream(
            plans,
            rows.toSorted((a, b) => a.at - b.at),
          ),
        );
      }),
      { numRuns: 500, seed },
    );
  });
});
