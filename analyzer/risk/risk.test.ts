import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tiers } from '#schemas/events/rows.js';
import type { Detection, RuleFacts } from '../detection/detector.js';
import { severities } from '#schemas/events/rows.js';
import { RISK, RiskDetector } from './detector.js';
import { RiskScore, WEIGHTS } from './score.js';

const rule = (id: string, severity: RuleFacts['severity'], tier: RuleFacts['tier']): RuleFacts => ({
  id,
  title: id,
  severity,
  tier,
  techniques: [],
  advice: '',
});
const detection = (of: RuleFacts, key: string, event: string): Detection => ({
  rule: of, reason: '', session: 's', user: 'ann', node: 'n', login: 'root', at: 1, offset_ms: 1, row: null, evidence: [event], key,
}); // prettier-ignore

const generated = fc
  .array(fc.tuple(fc.nat(5), fc.constantFrom(...severities), fc.constantFrom(...tiers), fc.nat(3), fc.nat(4)), { maxLength: 40 })
  .map((all) => {
    const facts = new Map<number, RuleFacts>();
    return all.map(([id, severity, tier, key, event]) => {
      const of = facts.get(id) ?? rule(`r${id}`, severity, tier);
      facts.set(id, of);
      return detection(of, `k${key}`, `e${event}`);
    });
  });

describe('the risk score', () => {
  it('is the sum of the contributions that it lists, never falls, and no rule comes to twice its weight', () => {
    fc.assert(
      fc.property(generated, (detections) => {
        const risk = new RiskScore();
        for (const one of detections) {
          const before = risk.score;
          const points = risk.add(one);
          expect(points).toBeGreaterThanOrEqual(0);
          expect(risk.score).toBeCloseTo(before + points, 9);
        }
        expect(risk.contributions.reduce((sum, { points }) => sum + points, 0)).toBeCloseTo(risk.score, 6);
        for (const { rule: of, points } of risk.contributions)
          expect(points).toBeLessThan(2 * WEIGHTS.severity[of.severity] * WEIGHTS.tier[of.tier] + 1e-9);
        const { score } = risk;
        for (const one of detections) expect(risk.add(one)).toBe(0);
        expect(risk.score).toBe(score);
      }),
    );
  });

  it('of several rules about one event is that of the heaviest and half of the others', () => {
    const risk = new RiskScore();
    const [high, low] = [rule('high', 'high', 'signal'), rule('low', 'low', 'signal')];
    expect([risk.add(detection(low, 'a', 'e')), risk.add(detection(high, 'a', 'e')), risk.add(detection(low, 'b', 'f'))]).toEqual([
      1, 19.5, 0.5,
    ]);
  });
});

describe('the risk detector', () => {
  it('finds at each threshold once, with the list of what it is made of', () => {
    const opened = new RiskDetector().open();
    const found = Array.from({ length: 12 }, (_, i) =>
      opened.detected!(detection(rule(`rule ${i}`, 'medium', 'signal'), 'k', `e${i}`)),
    ).flat();
    expect(found.map(({ rule: { id } }) => id)).toEqual(['steno/risk-medium', 'steno/risk-high']);
    expect(found[0]).toMatchObject({
      reason: 'score 40: rule 0 10, rule 1 10, rule 2 10, rule 3 10',
      evidence: ['e0', 'e1', 'e2', 'e3'],
      session: 's',
      key: 'score',
    });
    expect(found[1]!.reason).toMatch(/^score 80: .*rule 7 10$/);
  });

  it('does not weigh its own findings, and answers alike for the same detections', () => {
    fc.assert(
      fc.property(generated, (detections) => {
        const run = (again: boolean): readonly Detection[] => {
          const opened = new RiskDetector().open();
          const found: Detection[] = [];
          for (const one of detections) {
            const answered = opened.detected!(one);
            found.push(...answered);
            if (again) for (const own of answered) expect(opened.detected!(own)).toEqual([]);
          }
          return found;
        };
        expect(run(true)).toEqual(run(false));
        expect(run(false).length).toBeLessThanOrEqual(RISK.thresholds.length);
      }),
    );
  });
});
