import { describe, expect, it } from 'vitest';
import { exampleRow } from '../cases/example-row.js';
import { RuleMatcher } from '../matching/matcher.js';
import { loadRules } from './rule-set.js';

const id = 'a1b2c3d4-0000-4000-8000-000000000001';
const rule = (facts: string, logsource = '{ product: linux, category: process_creation }'): string =>
  `title: Shell\nid: ${id}\nlevel: high\ntags: [attack.execution, attack.t1059.004, attack.T1548]\nlogsource: ${logsource}\ndetection: ${facts}\n`;
const shell = rule('{ sel: { Image|endswith: /sh }, condition: sel }');

describe('a set of rules', () => {
  it('tells what a rule says of itself', () => {
    const [one] = loadRules([{ name: 'a.yml', text: shell }]).evaluable;
    expect(one!.rule).toMatchObject({ file: 'a.yml', line: 1, id, title: 'Shell', level: 'high', techniques: ['T1059.004', 'T1548'] });
  });

  it.each([
    ['{ product: windows, category: process_creation }', '{ sel: { Image: x }, condition: sel }', 'log source windows/process_creation: '],
    ['{ product: linux, service: sshd }', '{ sel: [x], condition: sel }', 'log source linux/sshd: '],
    ['{ product: linux }', '{ sel: [x], condition: sel }', 'log source linux: '],
    ['{ category: registry_set }', '{ sel: { Image: x }, condition: sel }', 'log source registry_set: '],
    [
      '{ product: linux, category: process_creation }',
      '{ sel: { IntegrityLevel: High }, condition: sel }',
      'field IntegrityLevel of process_creation',
    ],
    [
      '{ product: linux, category: process_creation }',
      '{ sel: { User: ann }, condition: sel }',
      'User "ann" of process_creation: Steno tells of root only',
    ],
    [
      '{ category: process_creation }',
      '{ sel: { User|startswith: r }, condition: sel }',
      'field User of process_creation with a condition other',
    ],
    ['{ category: process_creation }', '{ sel: { User: null }, condition: sel }', 'field User of process_creation with a condition other'],
    [
      '{ product: linux, category: process_creation }',
      '{ sel: { Image|fieldref: Other }, condition: sel }',
      'field Other of process_creation',
    ],
    [
      '{ product: linux, service: auditd }',
      '{ sel: { type: SYSCALL }, condition: sel }',
      'type "SYSCALL" of auditd: Steno tells of EXECVE, PATH only',
    ],
    ['{ product: linux, service: auditd }', '{ sel: [word], condition: sel }', 'keywords: events of auditd'],
    [
      '{ product: linux, category: process_creation }',
      '{ sel: { Image: x }, condition: sel | count() > 3 }',
      'condition "| count() > 3": an aggregation',
    ],
    ['{ product: linux, category: process_creation }', '{ sel: { Image|hour: 3 }, condition: sel }', 'modifier hour: '],
    [
      '{ product: linux, category: network_connection }',
      "{ sel: { Initiated: 'false' }, condition: sel }",
      'Initiated "false" of network_connection',
    ],
  ])('%s %s lacks something', (logsource, detection, missing) => {
    const set = loadRules([{ name: 'a.yml', text: rule(detection, logsource) }]);
    expect([set.evaluable, set.faults]).toEqual([[], []]);
    expect(set.lacking[0]!.missing[0]).toContain(missing);
  });

  it('is the same when its files are loaded again, and another one with other placeholders', () => {
    const files = [
      { name: 'a.yml', text: rule('{ sel: { Image|expand: "%shells%" }, condition: sel }') },
      { name: 'b.yml', text: 'title: nothing\n' },
    ];
    const placeholders = new Map([['shells', ['/bin/sh']]]);
    const [without, again, with_] = [loadRules(files), loadRules(files), loadRules(files, { placeholders })];
    expect(again).toEqual(without);
    expect([without, with_].map(({ evaluable, lacking, faults }) => [evaluable.length, lacking.length, faults.length])).toEqual([
      [0, 1, 1],
      [1, 0, 1],
    ]);
  });

  it('two rules do not share an id', () => {
    const set = loadRules([
      { name: 'a.yml', text: shell },
      { name: 'b.yml', text: shell },
    ]);
    expect(set.evaluable).toHaveLength(1);
    expect(set.faults.map(({ detail }) => detail)).toEqual(['b.yml:1:1: has the id of a.yml:1']);
  });
});

describe('filters', () => {
  const filter = (rules: string, logsource = '{ product: linux, category: process_creation }'): string =>
    `title: Ours\nlogsource: ${logsource}\nfilter:\n  rules: ${rules}\n  sel: { CommandLine|contains: backup }\n  condition: not sel\n`;
  const matches = (...texts: string[]): readonly boolean[] => {
    const { evaluable, faults } = loadRules(texts.map((text, i) => ({ name: `${i}.yml`, text })));
    expect(faults).toEqual([]);
    const matcher = new RuleMatcher(evaluable);
    return ['sh backup', 'sh other'].map(
      (CommandLine) => matcher.match(exampleRow(evaluable[0]!.scope, { Image: '/bin/sh', CommandLine })).length > 0,
    );
  };

  it('restrict the rules they name, and those of their log source', () => {
    expect(matches(shell)).toEqual([true, true]);
    expect(matches(shell, filter(`[${id}]`))).toEqual([false, true]);
    expect(matches(shell, filter('any'))).toEqual([false, true]);
    expect(matches(shell, filter('any', '{ product: linux }'))).toEqual([false, true]);
    expect(matches(shell, filter('any', '{ product: linux, category: file_event }'))).toEqual([true, true]);
  });

  it('name rules that are there', () => {
    const { faults } = loadRules([{ name: 'f.yml', text: filter('[nobody]') }]);
    expect(faults.map(({ detail }) => detail)).toEqual(['f.yml:1:1: the filter names "nobody", and no such rule is loaded']);
  });
});
