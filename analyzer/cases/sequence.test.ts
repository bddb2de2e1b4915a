import { describe, expect, it } from 'vitest';
import { loadRules } from '../sigma/rule-set.js';
import { runCases } from './cases.js';

const rules = `title: made
name: made
logsource: { category: process_creation }
detection: { s: { Image|endswith: /tar }, condition: s }
---
title: sent
name: sent
logsource: { category: network_connection }
detection: { s: { DestinationPort: 443 }, condition: s }
---
title: made and sent
correlation: { type: temporal_ordered, rules: [made, sent], group-by: [SessionId], timespan: 10m }
`;
const run = (cases: string): readonly (string | null)[] =>
  runCases({ name: 'd/r.test.yml', text: cases }, loadRules([{ name: 'd/r.yml', text: rules }])).map(({ failure }) => failure);

const tar = (at: string, more = ''): string => `{ at: ${at}, source: process_creation, event: { Image: /usr/bin/tar${more} } }`;
const sent = (at: string): string => `{ at: ${at}, source: network_connection, event: { DestinationPort: 443 } }`;

describe('tests of correlations', () => {
  it('list events with their times', () => {
    expect(
      run(`cases:
  - { name: in order, events: [${tar('0s')}, ${sent('9m')}], matches: true }
  - { name: late, events: [${sent('9m')}, ${tar('0s')}], matches: true }
  - { name: the other way, events: [${sent('0s')}, ${tar('90s')}], matches: false }
  - { name: too long, events: [${tar('0s')}, ${sent('10m')}], matches: false }
  - { name: two sessions, events: [${tar('0s', ', SessionId: other')}, ${sent('1s')}], matches: false }
  - { name: wrong, events: [${tar('0s')}, ${sent('1s')}], matches: false }
`),
    ).toEqual([null, null, null, null, null, 'matches, and should not']);
  });

  it('say what is wrong with an event', () => {
    expect(
      run(`cases:
  - { name: of what, events: [{ at: 0s, event: { Image: /x } }], matches: false }
  - { name: no such, events: [{ at: 0s, source: dns_query, event: {} }], matches: false }
  - { name: one, event: { Image: /x }, matches: false }
`),
    ).toEqual([
      'event 1 is of which log source? source: one of process_creation, network_connection',
      'the rules have no log source dns_query; there is process_creation, network_connection',
      'a correlation is tested with events:, each with its time',
    ]);
    expect(() => run('cases: [{ name: a, events: [{ at: soon, event: {} }], matches: true }]')).toThrow(/is a time after/);
    expect(() => run('cases: [{ name: a, matches: true }]')).toThrow(/either event or events/);
    expect(run('rule: made\ncases: [{ name: a, events: [{ at: 0s, event: {} }], matches: true }]')).toEqual([
      'only a correlation is tested with several events',
    ]);
  });
});
