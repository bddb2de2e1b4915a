import { describe, expect, it } from 'vitest';
import { exampleEventRow, exampleSessionRow } from '#stores/events/examples.js';
import type { Detection, Detector, Observation, RuleFacts } from '../detection/detector.js';
import { MeteredDetector } from './metered.js';

const rule = (id: string): RuleFacts => ({ id, title: id, severity: 'low', tier: 'signal', techniques: [], advice: '' });
const row = exampleEventRow();
const observation: Observation = { kind: 'event', row };
const detection = (of: RuleFacts): Detection => ({
  rule: of, reason: 'x', session: row.session, user: 'u', node: 'n', login: 'l', at: 0, offset_ms: 0, row: null, evidence: [], key: '',
}); // prettier-ignore
const detector = (rules: readonly RuleFacts[], more: Partial<Detector> = {}): Detector => ({
  name: 'test',
  rules,
  scope: { kind: 'perSession' },
  open: () => ({ take: () => rules.map(detection) }),
  ...more,
});

describe('a metered detector', () => {
  it('answers what the detector answers, and counts it by rule over all sessions', async () => {
    const metered = new MeteredDetector(detector([rule('a'), rule('b')]));
    for (let session = 0; session < 2; session += 1) {
      const opened = await metered.open(exampleSessionRow());
      expect(opened.take(observation).map(({ rule: { id } }) => id)).toEqual(['a', 'b']);
      expect(opened.detected).toBeUndefined();
    }
    expect([metered.hits('a'), metered.hits('b'), metered.hits('c'), metered.observations]).toEqual([2, 2, 0, 2]);
  });

  it('measures a sample, also where the detector throws; several rules share the cost, one has it alone', async () => {
    const slow = detector([rule('a')], {
      open: () => ({
        take: () => {
          for (const until = performance.now() + 1; performance.now() < until;);
          throw new Error('broken');
        },
      }),
    });
    const alone = new MeteredDetector(slow);
    const opened = await alone.open(null);
    for (let i = 0; i < 61; i += 1) expect(() => opened.take(observation)).toThrow('broken');
    expect(alone.cost('a')).toBeGreaterThanOrEqual(61);
    expect(new MeteredDetector(detector([rule('a'), rule('b')])).cost('a')).toBeUndefined();
  });

  it('takes the numbers of a detector that measures its rules itself, and passes on what others found', async () => {
    const meters = { hits: new Map([['a', 9]]), costs: new Map([['a', 2]]) };
    const weighs = detector([rule('a'), rule('b')], { meters, open: async () => ({ take: () => [], detected: (one) => [one] }) });
    const metered = new MeteredDetector(weighs);
    const opened = await metered.open(null);
    expect(opened.detected?.(detection(rule('b')))).toHaveLength(1);
    expect([metered.hits('a'), metered.cost('a'), metered.cost('b'), metered.hits('b')]).toEqual([9, 2, 0, 1]);
  });
});
