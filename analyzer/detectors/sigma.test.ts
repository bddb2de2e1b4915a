import { describe, expect, it } from 'vitest';
import { eventId } from '#schemas/events/rows.js';
import { exampleEventRow } from '#stores/events/examples.js';
import type { Detection } from '../detection/detector.js';
import { ruleFor, rulesOf } from '../testing/session-rows.js';
import { SigmaDetector } from './sigma.js';

const id = '00000000-0000-4000-8000-000000000001';
const exec = (name: string, index: number, pid = 5, ppid = 1) =>
  exampleEventRow({
    source: 'kernel',
    emitter: 'agent/a',
    kind: 'exec',
    outcome: 'success',
    path: '/bin/x',
    name,
    index,
    data: `{"pid":${pid},"ppid":${ppid}}`,
  });

function detections(detector: SigmaDetector, rows: readonly ReturnType<typeof exec>[]): Detection[] {
  const session = detector.open();
  return rows.flatMap((row) => session.take({ kind: 'event', row }));
}

describe('Sigma rules as a detector', () => {
  it('a match says which rule, why, where and by which event', () => {
    const detector = new SigmaDetector(rulesOf(ruleFor('nmap', id)).evaluable);
    const row = exec('nmap -sS 10.0.0.0/8', 3);
    const [one, ...others] = detections(detector, [exec('ls', 2), row]);
    expect(others).toEqual([]);
    expect(one).toMatchObject({
      rule: { id, severity: 'high', tier: 'alert' },
      reason: 'ran nmap -sS 10.0.0.0/8',
      at: row.at,
      evidence: [eventId(row)],
    });
  });

  it('matches within a minute are one detection; each session begins anew', () => {
    const detector = new SigmaDetector(rulesOf(ruleFor('nmap', id)).evaluable);
    const rows = [exec('nmap a', 1), exec('nmap b', 2), { ...exec('nmap c', 3), offset_ms: 60_000 }];
    expect(detections(detector, rows).map(({ reason }) => reason)).toEqual(['ran nmap a', 'ran nmap c']);
    expect(detections(detector, rows)).toEqual(detections(detector, rows));
    expect(detector.hits.get(id)).toBe(9);
  });

  it('a rule that matches everything is bounded, and the rest counted', () => {
    const detector = new SigmaDetector(rulesOf(ruleFor('x', id)).evaluable);
    expect(
      detections(
        detector,
        Array.from({ length: 1_000 }, (_, i) => ({ ...exec(`x ${i}`, i), offset_ms: i * 60_000 })),
      ),
    ).toHaveLength(100);
    expect(detector.beyond).toBe(900);
    expect(detector.costs.get(id)).toBeGreaterThan(0);
  });

  it('a signal is one detection of its session', () => {
    const rule = ruleFor('nmap', id).replace('level: high', 'level: low');
    const detector = new SigmaDetector(rulesOf(rule).evaluable);
    const rows = Array.from({ length: 10 }, (_, i) => ({ ...exec(`nmap ${i}`, i), offset_ms: i * 60_000 }));
    expect(detections(detector, rows)).toMatchObject([{ rule: { tier: 'signal' }, key: '', reason: 'ran nmap 0' }]);
  });

  it('parents are of the session', () => {
    const rule = `title: From cron
id: ${id}
logsource: { category: process_creation, product: linux }
detection: { selection: { ParentCommandLine: cron }, condition: selection }
`;
    const detector = new SigmaDetector(rulesOf(rule).evaluable);
    expect(detections(detector, [exec('cron', 1, 10), exec('child', 2, 11, 10)])).toHaveLength(1);
    expect(detections(detector, [exec('child', 2, 11, 10)])).toEqual([]);
  });

  it('the tier is what a tag says, else what the level says', () => {
    const tagged = `${ruleFor('a', id)}tags: [steno.tier.session]\n`;
    const { rules } = new SigmaDetector(rulesOf(tagged, ruleFor('b', id.replace('1', '2'), 'low')).evaluable);
    expect(rules.map(({ tier, severity }) => [tier, severity])).toEqual([
      ['session', 'high'],
      ['signal', 'low'],
    ]);
  });
});
