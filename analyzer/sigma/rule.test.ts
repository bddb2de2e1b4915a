import { describe, expect, it } from 'vitest';
import { StenoError } from '#schemas/base/errors.js';
import { exampleRow } from '../cases/example-row.js';
import { RuleMatcher } from '../matching/matcher.js';
import { selections } from '../testing/selections.js';
import { loadRules } from './rule-set.js';
import type { RuleSet } from './rule-set.js';

const head = 'title: T\nlogsource: { product: linux, category: process_creation }\n';
const whole = (detection: string): string => `${head}detection:\n${detection.replace(/^/gm, '  ')}\n`;
const load = (detection: string, placeholders?: Map<string, string[]>): RuleSet =>
  loadRules([{ name: 'r.yml', text: whole(detection) }], placeholders === undefined ? {} : { placeholders });

/** The command lines that a selection matches. */
function taken(selection: string, commands: readonly string[], facts: Readonly<Record<string, string | number>> = {}): readonly string[] {
  const { evaluable, faults, lacking } = load(`sel:\n${selection.replace(/^/gm, '  ')}\ncondition: sel`);
  expect([faults, lacking]).toEqual([[], []]);
  const matcher = new RuleMatcher(evaluable);
  return commands.filter((CommandLine) => matcher.match(exampleRow(evaluable[0]!.scope, { ...facts, CommandLine })).length > 0);
}

describe('selections and modifiers', () => {
  it.each(selections)('%s', (_, selection, takes, leaves) => {
    expect(taken(selection, [...takes, ...leaves])).toEqual(takes);
  });

  it('numbers are compared', () => {
    const facts = (ProcessId: number): Record<string, number> => ({ ProcessId });
    for (const [modifier, id, holds] of [
      ['lt', 4, true],
      ['lt', 5, false],
      ['lte', 5, true],
      ['gt', 5, false],
      ['gt', 6, true],
      ['gte', 5, true],
    ] as const)
      expect(taken(`ProcessId|${modifier}: 5`, ['x'], facts(id)), `${id} ${modifier} 5`).toEqual(holds ? ['x'] : []);
  });

  it('a field is compared with another', () => {
    expect(taken('CommandLine|fieldref: Image', ['/BIN/sh', '/bin/sh -i'], { Image: '/bin/sh' })).toEqual(['/BIN/sh']);
    expect(taken('CommandLine|fieldref|startswith: Image', ['/bin/sh', '/bin/sh -i'], { Image: '/bin/sh' })).toHaveLength(2);
    expect(taken('CommandLine|fieldref: Image', [''])).toEqual([]);
  });

  it('placeholders are put in, and said where they are not given', () => {
    const detection = 'sel: { CommandLine|expand|contains: "%tool% -x" }\ncondition: sel';
    const { evaluable } = load(detection, new Map([['tool', ['nc', 'socat']]]));
    const matcher = new RuleMatcher(evaluable);
    const matches = (CommandLine: string): boolean => matcher.match(exampleRow(evaluable[0]!.scope, { CommandLine })).length > 0;
    expect(['nc -x', 'socat -x', 'cat -x', '%tool% -x'].map(matches)).toEqual([true, true, false, false]);
    expect(load(detection).lacking.map(({ missing }) => missing)).toEqual([['placeholder %tool%']]);
  });
});

/** The first line of the fault reported for a text. */
function fault(text: string): string {
  const [first] = loadRules([{ name: 'r.yml', text }]).faults;
  expect(first, text).toBeInstanceOf(StenoError);
  expect(first!.code).toBe('RULE_INVALID');
  return first!.detail!.split('\n')[0]!;
}

describe('a rule that is not valid', () => {
  it.each([
    ['sel: { CommandLine|contain: x }', /^r.yml:4:10: there is no modifier "contain"/],
    ['sel: { CommandLine|contains|endswith: x }', /contains and endswith exclude each other/],
    ['sel: { CommandLine|contains|base64: x }', /base64 changes the text, so it stands before contains/],
    ['sel: { CommandLine|contains|contains: x }', /stands twice/],
    ['sel: { CommandLine|base64: "a*" }', /^r.yml:4:30: has a wildcard/],
    ['sel: { CommandLine|wide: "é" }', /bytes that are no text/],
    ['sel: { CommandLine|i: x }', /belongs behind re/],
    ['sel: { CommandLine|re: "(?=x)" }', /looks ahead/],
    ['sel: { CommandLine|cidr: 10.0.0.1/8 }', /no block of addresses/],
    ['sel: { CommandLine|gt: x }', /compares with a number/],
    ['sel: { CommandLine|exists: yes }', /true or false/],
    ['sel: { CommandLine|contains: null }', /is nothing \(null\)/],
    ['sel: { CommandLine: { a: b } }', /is neither a text/],
    ['sel: { CommandLine: [] }', /has no value/],
    ["sel: { '|exists': true }", /exists needs a field/],
    ['sel: {}', /is empty/],
    ['sel: []', /is empty/],
    ['sel: [[a]]', /list inside a list/],
    ['sel: { CommandLine|windash: "-a -b -c -d -e" }', /more than four options/],
  ])('%s', (selection, why) => {
    expect(fault(whole(`${selection}\ncondition: sel`))).toMatch(why);
  });

  it.each([
    [whole('sel: a'), /^r.yml:3:1: detection has no condition/],
    [whole('condition: sel'), /no search identifier/],
    [whole('sel: a\ncondition: sel and other'), /^r.yml:5:22: condition names "other"/],
    ['title: T\ndetection: { a: b, condition: a }', /has no logsource/],
    ['title: T\nlogsource: { definition: x }\ndetection: { a: b, condition: a }', /names no category/],
    [`${head}level: grave\ndetection: { a: b, condition: a }`, /^r.yml:3:8: level is one of/],
    [`${head}id: 7\ndetection: { a: b, condition: a }`, /id is a UUID/],
    [`${head}date: yesterday\ndetection: { a: b, condition: a }`, /date is a day/],
    [`${head}tags: [attack]\ndetection: { a: b, condition: a }`, /namespace/],
    [head, /neither detection, filter nor correlation/],
    [`${head}detection: { a: b, condition: a }\nfilter: {}`, /has both detection and filter/],
    ['logsource: { product: linux }\ndetection: { a: b, condition: a }', /has no title/],
    ['- a', /is no rule/],
    ['title: a: b', /^r.yml:1:/],
    ['', /the file is empty/],
    [`${head}detection: { a: &x b, c: *x, condition: a }`, /anchors are not allowed/],
    [`${head}detection: { a: b, a: c, condition: a }`, /[Mm]ap keys must be unique/],
    [`${head}detection: { a: ${'['.repeat(40)}${']'.repeat(40)}, condition: a }`, /deeper than 32/],
    [whole(`sel: a\ncondition: ${Array(1_001).fill('sel').join(' or ')}`), /longer than 4096|more than 1000/],
    [
      whole(
        `${Array.from({ length: 30 }, (_, i) => `s${i}: [${Array(100).fill('x').join(', ')}]`).join('\n')}\ncondition: ${Array(190).fill('1 of s*').join(' or ')}`,
      ),
      /more than 50000 tests/,
    ],
  ])('%#', (text, why) => {
    expect(fault(text)).toMatch(why);
  });

  it('does not keep others of the file from loading', () => {
    const set = loadRules([
      { name: 'r.yml', text: `${whole('sel: a\ncondition: sel')}---\ntitle: bad\n---\n${whole('sel: b\ncondition: sel')}` },
    ]);
    expect([set.evaluable.length, set.faults.map(({ detail }) => detail!.split('\n')[0])]).toEqual([
      2,
      ['r.yml:7:1: has neither detection, filter nor correlation'],
    ]);
  });
});
