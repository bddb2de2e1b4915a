import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ownRuleFiles } from '../library/own-rules.js';
import { compileRegex } from '../predicate/regex.js';
import { literalsOf, requiredSetsOf } from './regex-literals.js';

describe('texts that an expression needs', () => {
  it.each<[string, readonly string[] | null]>([
    ['curl', ['curl']],
    ['^(?:curl|wget) -O', ['curl -O', 'wget -O']],
    ['(?:ba|z)?sh', ['bash', 'zsh', 'sh']],
    ['a.*curl.*b', ['curl']],
    ['[ab]cd', ['acd', 'bcd']],
    ['ab{2,}cd+', null],
    ['(?:curl)+x', ['curl']],
    ['x*', null],
    ['a|', null],
    ['\\bnc\\b.*-e', ['nc']],
    ['(?=x)curl', null],
    ['\\x41bc', null],
    ['(?i)CURL', ['curl']],
  ])('%s', (expression, expected) => {
    const found = literalsOf(expression, false);
    if (expected === null) expect(found === null || found.every((text) => text.length > 1)).toBe(true);
    else expect([...(found ?? [])].sort()).toEqual([...expected].sort());
  });

  it('each part of an expression that must be there has its own', () => {
    expect(requiredSetsOf('(?:cat|less) .*(?:shadow|passwd)', true)).toEqual([
      ['cat ', 'less '],
      ['shadow', 'passwd'],
    ]);
    expect(requiredSetsOf('(?:ab.*cd)?', false)).toEqual([]);
    expect(requiredSetsOf('x(?:ab.*cd)+', false)).toEqual([['ab'], ['cd']]);
  });

  it('are in every text that the expression matches', () => {
    const atom = fc.constantFrom('a', 'b', 'sh', 'K', '.', '[ab]', '[^a]', '\\b', '\\s', ' ', '(?:a|bc)', '(ab|S|)', 'é');
    const { expression } = fc.letrec<{ expression: string }>((tie) => ({
      expression: fc.oneof(
        { maxDepth: 4 },
        atom,
        fc.array(tie('expression'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
        fc.array(tie('expression'), { minLength: 2, maxLength: 3 }).map((parts) => `(?:${parts.join('|')})`),
        fc.tuple(tie('expression'), fc.constantFrom('*', '+', '?', '{2}', '{0,1}', '{1,3}')).map(([of, sign]) => `(?:${of})${sign}`),
      ),
    }));
    const text = fc
      .array(fc.constantFrom('a', 'b', 'c', 's', 'h', 'S', 'k', '\u212a', '\u017f', ' ', 'é', 'É'), { maxLength: 8 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(expression, fc.array(text, { minLength: 5, maxLength: 5 }), fc.boolean(), (of, texts, ignoresCase) => {
        const needed = literalsOf(of, ignoresCase);
        const sets = [...(needed === null ? [] : [needed]), ...requiredSetsOf(of, ignoresCase)];
        if (sets.length === 0) return;
        const { program } = compileRegex(of, ignoresCase ? ['i'] : []);
        for (const one of texts) {
          if (!program.test(one)) continue;
          const folded = (of2: string): string => of2.replaceAll('\u212a', 'k').replaceAll('\u017f', 's').toLowerCase();
          for (const set of sets)
            expect(
              set.some((literal) => folded(one).includes(folded(literal))),
              `${of} on ${one}: ${set.join(' ')}`,
            ).toBe(true);
        }
      }),
      { numRuns: 5_000 },
    );
  });

  it('are found for most of the expressions of the rules that Steno comes with', () => {
    const expressions = ownRuleFiles().rules.flatMap(({ text }) =>
      [...text.matchAll(/\|re: *(?:'((?:''|[^'])*)'|([^'\n]+))$/gm)].map(([, quoted, plain]) => quoted?.replaceAll("''", "'") ?? plain!),
    );
    expect(expressions.length).toBeGreaterThan(50);
    expect(expressions.filter((expression) => literalsOf(expression, false) !== null).length / expressions.length).toBeGreaterThan(0.7);
  });
});
