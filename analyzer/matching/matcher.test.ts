import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noFacts } from '#schemas/events/rows.js';
import type { EventRow } from '#schemas/events/rows.js';
import type { Field } from '../predicate/field.js';
import { ANY, patternOf } from '../predicate/pattern.js';
import { all, always, any, not, test } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { compileRegex } from '../predicate/regex.js';
import { EventView, evaluationOf } from './evaluate.js';
import { MAX_RULES, RuleMatcher } from './matcher.js';
import type { Scope } from './matcher.js';

const row = (facts: Partial<EventRow>): EventRow => ({
  session: '',
  source: 'kernel',
  emitter: 'agent/a',
  block: 0,
  index: 0,
  at: 0,
  offset_ms: 0,
  kind: 'exec',
  user: '',
  node: '',
  login: '',
  ...noFacts,
  ...facts,
});
const execs: Scope = { name: 'execs', kinds: ['exec'], selects: always };
const path: Field = { kind: 'text', column: 'path' };
const fields: readonly Field[] = [path, { kind: 'text', column: 'name' }, { kind: 'data', path: ['cwd'], type: 'text' }];
const word = fc.array(fc.constantFrom('a', 'b', 'K', 'k', '/', 'sh'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
const leaf: fc.Arbitrary<Predicate<Field>> = fc.oneof(
  fc
    .tuple(fc.constantFrom(...fields), fc.constantFrom('whole', 'start', 'end', 'in', 'split'), word, word, fc.boolean())
    .map(([field, how, first, second, cased]) => {
      const pieces = { whole: [first], start: [first, ANY], end: [ANY, first], in: [ANY, first, ANY], split: [first, ANY, second] }[how]!;
      return test(field, { kind: 'pattern' as const, pattern: patternOf(pieces as string[]), cased });
    }),
  fc
    .tuple(fc.constantFrom(...fields), fc.constantFrom('abk', '(?i)shka', 'a|b', '^sh/a', 'k+aab'))
    .map(([field, text]) => test(field, { kind: 'regex' as const, regex: compileRegex(text, []) })),
  fc.constantFrom(...fields).map((field) => test(field, { kind: 'absent' as const })),
);
const { predicate } = fc.letrec<{ predicate: Predicate<Field> }>((tie) => ({
  predicate: fc.oneof(
    { maxDepth: 3 },
    { weight: 3, arbitrary: leaf },
    tie('predicate').map(not),
    fc.array(tie('predicate'), { minLength: 1, maxLength: 3 }).map(all),
    fc.array(tie('predicate'), { minLength: 1, maxLength: 3 }).map(any),
  ),
}));
const rows = fc
  .tuple(word, word, word)
  .map(([first, second, cwd]) => row({ path: first, name: `${second}${first}`, data: JSON.stringify({ cwd }) }));

describe('the matcher', () => {
  it('finds what evaluating every rule finds', () => {
    let matched = 0;
    fc.assert(
      fc.property(
        fc.array(predicate, { minLength: 1, maxLength: 30 }),
        fc.array(rows, { minLength: 1, maxLength: 20 }),
        (rules, events) => {
          const matcher = new RuleMatcher(rules.map((one) => ({ scope: execs, predicate: one })));
          const view = new EventView();
          const each = rules.map((one) => evaluationOf(one, view));
          for (const event of events) {
            view.set(event, null);
            const expected = each.flatMap((matches, i) => (matches(view) ? [i] : []));
            expect([...matcher.match(event)]).toEqual(expected);
            matched += expected.length;
          }
        },
      ),
      { numRuns: 500 },
    );
    expect(matched).toBeGreaterThan(1_000);
  });

  it('asks only the rules whose source takes the event', () => {
    const connects: Scope = { name: 'connects', kinds: ['connect'], selects: test(path, { kind: 'absent' }) };
    const matcher = new RuleMatcher([
      { scope: execs, predicate: always },
      { scope: connects, predicate: always },
    ]);
    expect(matcher.match(row({}))).toEqual([0]);
    expect(matcher.match(row({ kind: 'connect' }))).toEqual([1]);
    expect(matcher.match(row({ kind: 'connect', path: '/x' }))).toEqual([]);
    expect(matcher.match(row({ kind: 'exit' }))).toEqual([]);
  });

  it('takes data that is no JSON, or another kind of it, for absent', () => {
    const cwd: Field = { kind: 'data', path: ['cwd'], type: 'text' };
    const matcher = new RuleMatcher([{ scope: execs, predicate: test(cwd, { kind: 'absent' }) }]);
    for (const data of ['{', '[]', '{"cwd":5}', '{"cwd":{}}', '{}']) expect(matcher.match(row({ data })), data).toEqual([0]);
    expect(matcher.match(row({ data: '{"cwd":"/"}' }))).toEqual([]);
    expect(matcher.match(row({ data: '{"__proto__":{"cwd":"/"}}' }))).toEqual([0]);
  });

  it('refuses more rules than it may hold', () => {
    const rules = Array.from({ length: MAX_RULES + 1 }, () => ({ scope: execs, predicate: always }));
    expect(() => new RuleMatcher(rules)).toThrow(expect.objectContaining({ code: 'RULES_TOO_LARGE' }));
  });
});
