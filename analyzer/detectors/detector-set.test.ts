import { describe, expect, it } from 'vitest';
import { exampleEventRow, exampleSessionRow } from '#stores/events/examples.js';
import { ruleFor, rulesOf } from '../testing/session-rows.js';
import { recorderDetectors } from '../recorder-rules/recorder-rules.js';
import { detectorsOf } from './detector-set.js';

const id = '00000000-0000-4000-8000-000000000001';
const counted = `title: Twice
id: 00000000-0000-4000-8000-000000000002
correlation: { type: event_count, rules: [${id}], group-by: [Computer], timespan: 1m, condition: { gte: 2 } }
level: high
modified: 2026-01-31
`;

/** A row that both rules match. */
const row = exampleEventRow({ source: 'kernel', kind: 'exec', name: 'nmap', path: '/x', outcome: 'success', data: '{"pid":1,"ppid":2}' });

describe('the detectors of a set of rules', () => {
  it('a rule that only a correlation counts makes no finding; a version is the day of a rule', async () => {
    const set = detectorsOf({ ...rulesOf(`${ruleFor('nmap', id)}---\n${counted}`), hash: 'h', files: 1 });
    expect([set.version('00000000-0000-4000-8000-000000000002'), set.version(id)]).toEqual([20_260_131, 1]);
    expect(set.across.map(({ name }) => name)).toEqual(['bypass', 'correlation-across']);
    for (const detector of set.perSession) {
      const opened = await detector.open(exampleSessionRow());
      expect(opened.take({ kind: 'event', row })).toEqual([]);
    }
  });

  it('other rules do, as soon as the event is there', async () => {
    const set = detectorsOf({ ...rulesOf(ruleFor('nmap', id)), hash: 'h', files: 1 });
    const [sigma] = set.perSession;
    expect((await sigma!.open(exampleSessionRow())).take({ kind: 'event', row })).toHaveLength(1);
    expect(set.counts().hits.get(id)).toBe(1);
    // The rule, the three thresholds of the risk score, and the rules implemented as programs.
    expect(set.rules).toBe(4 + recorderDetectors().flatMap(({ rules }) => rules).length);
  });
});
