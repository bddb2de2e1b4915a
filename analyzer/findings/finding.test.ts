import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findingRow } from '#schemas/events/rows.js';
import type { Detection } from '../detection/detector.js';
import { findingId, findingOf } from './finding.js';

const detection = fc.record({
  rule: fc.record({
    id: fc.string({ maxLength: 400 }),
    title: fc.string({ maxLength: 400 }),
    severity: fc.constantFrom('info', 'low', 'medium', 'high', 'critical'),
    tier: fc.constantFrom('signal', 'alert', 'session'),
    techniques: fc.array(fc.string({ maxLength: 32 }), { maxLength: 80 }),
    advice: fc.string({ maxLength: 5_000 }),
  }),
  reason: fc.string({ maxLength: 5_000 }),
  session: fc.constantFrom('', '01m81gpp13j0br7sqn8qcecmxs'),
  user: fc.string({ maxLength: 300 }),
  node: fc.string({ maxLength: 300 }),
  login: fc.string({ maxLength: 300 }),
  at: fc.integer({ min: 0, max: 7_258_118_400_000 }),
  offset_ms: fc.option(fc.integer({ min: 0 })),
  row: fc.option(fc.integer({ min: 0, max: 65_535 })),
  evidence: fc.array(fc.string({ maxLength: 600 }), { maxLength: 150 }),
  key: fc.string({ maxLength: 600 }),
}) as fc.Arbitrary<Detection>;

describe('the row of a finding', () => {
  it('is one that the store takes, whatever a detector says', () => {
    fc.assert(fc.property(detection, fc.nat(), (one, version) => findingRow.safeParse(findingOf(one, version)).success));
  });

  it('has an id of rule, version, session and key, and of nothing else', () => {
    fc.assert(
      fc.property(detection, detection, fc.nat(), (one, other, version) => {
        const same = { ...other, rule: { ...other.rule, id: one.rule.id }, session: one.session, key: one.key };
        expect(findingOf(same, version).id).toBe(findingOf(one, version).id);
      }),
    );
    expect(
      new Set([findingId('a', 1, '', 'b'), findingId('a', 2, '', 'b'), findingId('a', 1, 'b', ''), findingId('a1', 1, '', 'b')]).size,
    ).toBe(4);
  });
});
