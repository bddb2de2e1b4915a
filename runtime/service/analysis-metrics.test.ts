import { describe, expect, it } from 'vitest';
import { analysisMetrics } from './analysis-metrics.js';

const report = {
  ...{ active: true, leads: true, share: 0.25, rules: 2, feeds: 1, feeds_open: 1, sessions: 3, behind: 1, lag_ms: 1_500, rows: 10 },
  ...{ findings: 4, findings_waiting: 0, findings_dropped: 0, faults: 0, beyond: 0 },
  ...{ announced: 3, announcements_waiting: 1, announcements_lost: 0 },
  siem: [
    { name: 'lake', format: 'ocsf' as const, state: 'failing' as const, error: 'away', sent: 12, refused: 1, waiting: 30, lag_ms: 2_500 },
  ],
};

describe('an analyzer counter', () => {
  it('is one sample per value, and one per rule that matched', () => {
    const text = analysisMetrics({
      report,
      hits: new Map([
        ['a"\\\nb', 7],
        ['quiet', 0],
      ]),
      costs: new Map([['a', 1_500]]),
    });
    const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(samples).toContain('steno_analyzer_lag_seconds 1.5');
    expect(samples.at(-1)).toBe('steno_rule_evaluation_seconds_total{rule="a"} 1.500000');
    expect(samples.at(-2)).toBe('steno_rule_matches_total{rule="a\\"\\\\\\nb"} 7');
    expect(samples.every((line) => /^[a-z_]+(\{(?:rule|destination)=".*"\})? [\d.]+$/.test(line))).toBe(true);
    expect(samples).toContain('steno_siem_lag_seconds{destination="lake"} 2.5');
    expect(samples.some((line) => line.includes('quiet'))).toBe(false);
  });
});
