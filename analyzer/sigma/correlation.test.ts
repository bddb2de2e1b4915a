import { describe, expect, it } from 'vitest';
import { loadRules } from './rule-set.js';

const rule = (name: string): string =>
  `title: ${name}\nname: ${name}\nlogsource: { category: process_creation }\ndetection: { sel: { Image: /${name} }, condition: sel }\n`;
const load = (correlation: string): ReturnType<typeof loadRules> =>
  loadRules([{ name: 'c.yml', text: `${rule('a')}---\n${rule('b')}---\ntitle: C\nlevel: high\ncorrelation: ${correlation}\n` }]);

describe('correlations', () => {
  it.each([
    '{ type: event_count, rules: a, group-by: [Computer], timespan: 10m, condition: { gte: 10 } }',
    '{ type: event_count, rules: [a, b], timespan: 1h, condition: { gt: 2, lte: 9 } }',
    '{ type: value_count, rules: [a], timespan: 1d, condition: { gte: 3, field: User } }',
    '{ type: value_sum, rules: [a], timespan: 5s, condition: { gt: 1.5, field: size } }',
    '{ type: value_percentile, rules: [a], timespan: 5s, condition: { gt: 1, field: size, percentile: 95 } }',
    '{ type: temporal, rules: [a, b], group-by: [user], timespan: 5m, aliases: { user: { a: User, b: User } }, generate: true }',
    '{ type: temporal_ordered, rules: [a, b], timespan: 1w }',
  ])('%s is taken, and not evaluated', (text) => {
    const { faults, lacking, evaluable } = load(text);
    expect(faults.map(({ detail }) => detail)).toEqual([]);
    expect(evaluable.map(({ rule: { name } }) => name)).toEqual(['a', 'b']);
    expect(lacking.map(({ rule: { title, level }, missing }) => [title, level, missing])).toEqual([
      ['C', 'high', [expect.stringMatching(/^correlation \w+: correlations are checked, and not evaluated$/)]],
    ]);
  });

  it.each([
    ['{ type: count, rules: a, timespan: 1m }', /^c.yml:13:22: type is one of/],
    ['{ type: event_count, timespan: 1m, condition: { gt: 1 } }', /names no rules/],
    ['{ type: event_count, rules: nobody, timespan: 1m, condition: { gt: 1 } }', /^c.yml:11:1: the correlation names "nobody"/],
    ['{ type: event_count, rules: a, timespan: 1m }', /needs a condition/],
    ['{ type: event_count, rules: a, timespan: 1m, condition: { field: x, gt: 1 } }', /has no field/],
    ['{ type: event_count, rules: a, timespan: 1m, condition: {} }', /compares with nothing/],
    ['{ type: event_count, rules: a, timespan: 1m, condition: { over: 1 } }', /compares by eq/],
    ['{ type: event_count, rules: a, timespan: 1m, condition: { gt: many } }', /gt is a number/],
    ['{ type: value_count, rules: a, timespan: 1m, condition: { gt: 1 } }', /needs a field/],
    ['{ type: temporal, rules: a, timespan: 1m }', /two rules/],
    ['{ type: temporal, rules: [a, b], timespan: 1m, condition: { gt: 1 } }', /has no condition/],
    ['{ type: temporal, rules: [a, b], timespan: soon }', /timespan is a number/],
    ['{ type: temporal, rules: [a, b], timespan: 13M }', /longer than a year/],
    ['{ type: temporal, rules: [a, b] }', /timespan is a number/],
    ['{ type: temporal, rules: [a, b], timespan: 1m, window: 5 }', /no field window/],
    ['{ type: temporal, rules: [a, b], timespan: 1m, aliases: { u: { c: User } } }', /"c", which the correlation does not name/],
    ['{ type: temporal, rules: [a, b], timespan: 1m, generate: often }', /true or false/],
    ['[a]', /is a list of fields/],
  ])('%s is refused', (text, why) => {
    expect(load(text).faults.map(({ detail }) => detail!.split('\n')[0])).toEqual([expect.stringMatching(why)]);
  });
});
