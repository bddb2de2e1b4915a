import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exampleRow } from '../cases/example-row.js';
import { RuleMatcher } from '../matching/matcher.js';
import type { Field } from '../predicate/field.js';
import { ANY, patternOf } from '../predicate/pattern.js';
import { all, any, not, test } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { linuxSources } from '../sources/linux.js';
import { candidatesOf, isStreamOnly } from './candidates.js';
import { conditionOf } from './sql.js';

const scope = linuxSources[0]!;
const fields: readonly Field[] = [
  { kind: 'derived', what: 'normalCommand' },
  { kind: 'text', column: 'name' },
  { kind: 'text', column: 'path' },
];
const leaf = fc
  .tuple(fc.constantFrom(...fields), fc.constantFrom('curl', 'sh', '| sh', "'"))
  .map(([field, text]): Predicate<Field> => test(field, { kind: 'pattern', pattern: patternOf([ANY, text, ANY]), cased: false }));
const { predicate } = fc.letrec<{ predicate: Predicate<Field> }>((tie) => ({
  predicate: fc.oneof(
    { maxDepth: 3 },
    leaf,
    tie('predicate').map((of) => not(of)),
    fc.array(tie('predicate'), { minLength: 1, maxLength: 3 }).map((of) => all(of)),
    fc.array(tie('predicate'), { minLength: 1, maxLength: 3 }).map((of) => any(of)),
  ),
}));
const lines = fc
  .array(fc.constantFrom("cu'r'l", 'curl', ' x', '|', 'sh', ' '), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(''));

describe('candidates', () => {
  it('are every row that the rule matches, and can be asked of ClickHouse', () => {
    fc.assert(
      fc.property(predicate, lines, (rule, line) => {
        const candidates = candidatesOf(rule);
        expect(isStreamOnly(candidates.predicate)).toBe(false);
        expect(() => conditionOf(candidates.predicate, (text) => text)).not.toThrow();
        const row = exampleRow(scope, { Image: '/bin/curl', CommandLine: line });
        const matches = (one: Predicate<Field>): boolean => new RuleMatcher([{ scope, predicate: one }]).match(row).length > 0;
        if (matches(rule)) expect(matches(candidates.predicate)).toBe(true);
        if (candidates.exact) expect(candidates.predicate).toBe(rule);
      }),
      { numRuns: 500 },
    );
  });

  it('are needed: ClickHouse is not asked what it cannot know', () => {
    expect(() => conditionOf(test(fields[0]!, { kind: 'absent' }), (text) => text)).toThrow(
      expect.objectContaining({ code: 'RULE_STREAM_ONLY' }),
    );
  });
});
