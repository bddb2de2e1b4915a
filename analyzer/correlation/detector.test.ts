import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { Detection, Observation } from '../detection/detector.js';
import { loadRules } from '../sigma/rule-set.js';
import { correlationDetectors } from './detector.js';
import { CorrelationStream } from './stream.js';

const rule = (name: string): string =>
  `title: ${name}\nname: ${name}\nlogsource: { category: process_creation }\ndetection: { s: { Image: /${name} }, condition: s }\n`;
const load = (...correlations: readonly string[]): ReturnType<typeof loadRules> =>
  loadRules([
    { name: 'c.yml', text: [rule('a'), rule('b'), ...correlations.map((one, i) => `title: K${i}\nname: k${i}\nlevel: high\ncorrelation: ${one}\n`)].join('---\n') },
  ]); // prettier-ignore

const START = 1_800_000_000_000;
let index = 0;
const exec = (path: string, seconds: number, facts: Partial<EventRow> = {}): EventRow => ({
  session: '01m81gpp13j0br7sqn8qcecmxs', source: 'kernel', emitter: 'agent/x', block: 1, index: index++, at: START + seconds * 1_000, offset_ms: seconds * 1_000,
  kind: 'exec', user: 'ann', node: 'web-1', login: 'root', ...noFacts, outcome: 'success', path, ...facts,
}); // prettier-ignore

function found(set: ReturnType<typeof loadRules>, rows: readonly EventRow[]): readonly Detection[] {
  const detections: Detection[] = [];
  for (const detector of correlationDetectors(set)) {
    const session = detector.open();
    for (const row of rows) detections.push(...session.take({ kind: 'event', row } satisfies Observation));
  }
  return detections;
}

describe('correlations as detectors', () => {
  it('say why, when, for whom, and with which events', () => {
    const set = load('{ type: event_count, rules: a, group-by: [SessionUser, Computer], timespan: 10m, condition: { gte: 3 } }');
    const rows = [exec('/a', 1), exec('/a', 2), exec('/b', 3), exec('/a', 4), exec('/a', 5)];
    expect(found(set, rows)).toMatchObject([
      {
        rule: { id: 'k0', title: 'K0', severity: 'high', tier: 'session' },
        reason: '3 matches of a within 10m for SessionUser ann, Computer web-1; the rule asks for at least 3',
        session: rows[0]!.session, user: 'ann', node: 'web-1', at: START + 4_000, offset_ms: 4_000, evidence: [expect.stringMatching(/:1\.\d+$/), {}, {}].map(() => expect.any(String) as string),
      },
    ]); // prettier-ignore
  });

  it('of one session are kept apart from those across sessions', () => {
    const set = load(
      '{ type: temporal_ordered, rules: [a, b], group-by: [SessionId], timespan: 1m }',
      '{ type: temporal, rules: [a, b], group-by: [Computer], timespan: 5m }',
      '{ type: event_count, rules: k0, group-by: [SessionId], timespan: 1h, condition: { gte: 2 } }',
    );
    const detectors = correlationDetectors(set);
    // k0 is a step of k2, which does not say `generate`.
    expect(detectors.map(({ scope, rules }) => [scope, rules.map(({ id }) => id)])).toEqual([
      [{ kind: 'perSession' }, ['k2']],
      [{ kind: 'across', memory: 2 * 300_000 + 10_000 }, ['k1']],
    ]);
    const reasons = found(set, [exec('/b', 0), exec('/a', 1), exec('/b', 2), exec('/a', 100), exec('/b', 130)]).map(({ reason }) => reason);
    expect(reasons).toEqual([
      '2 matches of k0 within 1h for SessionId 01m81gpp13j0br7sqn8qcecmxs; the rule asks for at least 2',
      'all of a, b within 5m for Computer web-1',
    ]);
  });

  it('count an event that comes twice once, and say so', () => {
    const { correlations } = load('{ type: event_count, rules: a, group-by: [SessionUser], timespan: 10m, condition: { gte: 2 } }');
    const stream = new CorrelationStream(correlations);
    const row = exec('/a', 1);
    expect([...stream.take(row, null), ...stream.take(row, null)]).toEqual([]);
    expect(stream.counters.repeated).toBe(1);
  });

  it('survive a clock that jumps a century ahead for one event', () => {
    const { correlations } = load('{ type: event_count, rules: a, group-by: [SessionUser], timespan: 10m, condition: { gte: 200 } }');
    const stream = new CorrelationStream(correlations);
    const firings = Array.from({ length: 200 }, (_, i) => stream.take(exec('/a', i === 100 ? 3_000_000_000 : i), null)).flat();
    expect(firings).toEqual([]);
    expect(stream.take(exec('/a', 201), null)).toHaveLength(1);
  });
});

describe('hostile cardinality', () => {
  it('of a million groups stays within the limits, and is counted', () => {
    const { correlations } = load('{ type: event_count, rules: a, group-by: [CommandLine], timespan: 1d, condition: { gte: 3 } }');
    const stream = new CorrelationStream(correlations, { groups: 1_000, occurrences: 5_000, occurrencesOfGroup: 500 });
    const row = exec('/a', 0);
    for (let i = 0; i < 1_000_000; i += 1) stream.take({ ...row, index: i, name: `c${i}` }, null);
    expect(stream.size.groups).toBeLessThanOrEqual(1_000);
    expect(stream.counters.forgotten).toBe(1_000_000 - stream.size.occurrences);
  }, 120_000);

  it('of one group stays within the limits, and is counted', () => {
    const { correlations } = load(
      '{ type: value_count, rules: a, group-by: [SessionUser], timespan: 1d, condition: { field: CommandLine, gte: 400 } }',
    );
    const stream = new CorrelationStream(correlations, { groups: 10, occurrences: 5_000, occurrencesOfGroup: 500 });
    const row = exec('/a', 0);
    for (let i = 0; i < 10_000; i += 1) stream.take({ ...row, index: i, at: START + i, name: `c${i % 300}` }, null);
    expect(stream.size.occurrences).toBeLessThanOrEqual(500);
    expect(stream.counters.forgotten).toBe(10_000 - stream.size.occurrences);
  });
});
