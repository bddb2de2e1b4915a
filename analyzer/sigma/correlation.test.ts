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
    '{ type: value_count, rules: [a], timespan: 1d, condition: { gte: 3, field: SessionUser } }',
    '{ type: temporal, rules: [a, b], timespan: 1m, condition: { gt: 1 } }',
    '{ type: temporal, rules: [a, b], timespan: 1m, condition: a and not b }',
    '{ type: value_sum, rules: [a], timespan: 5s, condition: { gt: 1.5, field: ProcessId } }',
    '{ type: value_percentile, rules: [a], timespan: 5s, condition: { gt: 1, field: ProcessId, percentile: 95 } }',
    '{ type: temporal, rules: [a, b], group-by: [user], timespan: 5m, aliases: { user: { a: SessionUser, b: SessionUser } }, generate: true }',
    '{ type: temporal_ordered, rules: [a, b], timespan: 1w }',
  ])('%s is taken', (text) => {
    const { faults, lacking, evaluable, correlations } = load(text);
    expect(faults.map(({ detail }) => detail)).toEqual([]);
    expect(evaluable.map(({ rule: { name } }) => name)).toEqual(['a', 'b']);
    expect(lacking).toEqual([]);
    expect(correlations.map(({ rule: { title, level } }) => [title, level])).toEqual([['C', 'high']]);
  });

  it.each([
    [
      '{ type: value_count, rules: a, timespan: 1m, condition: { field: User, gt: 1 } }',
      'values of field User of process_creation; there are SessionUser and SessionLogin',
    ],
    ['{ type: temporal, rules: [a, b], timespan: 1m, group-by: [Elsewhere] }', 'field Elsewhere of process_creation'],
    [
      '{ type: event_count, rules: a, timespan: 1m, condition: { gt: 1000000 } }',
      'a count of more than 10000, the most that is kept of one group',
    ],
  ])('%s lacks something', (text, missing) => {
    expect(load(text).lacking.map((one) => one.missing)).toEqual([[missing]]);
  });

  it('that name one another in a circle are not evaluated', () => {
    const circle = `${rule('a')}---\ntitle: D\nname: d\ncorrelation: { type: temporal, rules: [a, e], timespan: 1m }\n---\ntitle: E\nname: e\ncorrelation: { type: temporal, rules: [a, d], timespan: 1m }\n`;
    const { lacking, correlations } = loadRules([{ name: 'c.yml', text: circle }]);
    expect(correlations).toEqual([]);
    expect(lacking.map(({ missing }) => missing[0])).toEqual([expect.stringMatching(/names it/), expect.stringMatching(/names it/)]);
  });

  it('silence the rules that they name, unless they say generate', () => {
    const names = (text: string): readonly string[] => [...load(text).silent].map(({ name }) => name);
    expect(names('{ type: temporal, rules: [a, b], timespan: 1m }')).toEqual(['a', 'b']);
    expect(names('{ type: temporal, rules: [a, b], timespan: 1m, generate: true }')).toEqual([]);
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
    ['{ type: temporal_ordered, rules: [a, b], timespan: 1m, condition: { gt: 1 } }', /has no condition/],
    ['{ type: temporal, rules: [a, b], timespan: 1m, condition: a and c }', /names "c"/],
    ['{ type: temporal, rules: [a, a], timespan: 1m }', /names a rule twice/],
    ['{ type: value_percentile, rules: a, timespan: 1m, condition: { field: x, gt: 1, percentile: 101 } }', /0 to 100/],
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
