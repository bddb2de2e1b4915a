import { describe, expect, it } from 'vitest';
import type { Field } from '../predicate/field.js';
import { ANY, ONE, patternOf } from '../predicate/pattern.js';
import type { Pattern } from '../predicate/pattern.js';
import { all, any, not, test } from '../predicate/predicate.js';
import type { Predicate } from '../predicate/predicate.js';
import { compileRegex } from '../predicate/regex.js';
import { triggersOf } from './triggers.js';

const path: Field = { kind: 'text', column: 'path' };
const name: Field = { kind: 'text', column: 'name' };
const cwd: Field = { kind: 'data', path: ['cwd'], type: 'text' };
const has = (field: Field, ...pieces: Pattern): Predicate<Field> =>
  test(field, { kind: 'pattern', pattern: patternOf(pieces), cased: false });
const matches = (text: string): Predicate<Field> => test(name, { kind: 'regex', regex: compileRegex(text, []) });
const said = (predicate: Predicate<Field>): unknown =>
  triggersOf(predicate)?.map(({ text, start, end }) => `${start ? '^' : ''}${text}${end ? '$' : ''}`) ?? null;

describe('triggers', () => {
  it.each([
    ['a whole text', has(path, '/bin/SH'), ['^/bin/sh$']],
    ['a beginning', has(path, '/bin', ANY), ['^/bin']],
    ['an end', has(path, ANY, '/sh'), ['/sh$']],
    ['the longest piece of a pattern', has(path, 'a', ANY, 'longer', ONE, 'b'), ['longer']],
    ['a piece before one character more', has(path, 'abc', ONE), ['^abc']],
    ['nothing but wildcards', has(path, ANY), null],
    ['an expression', matches('^wget .*--output'), ['--output']],
    ['an expression without regard to case', matches('(?i)sKanning'), ['skanning']],
    ['an expression with alternatives', matches('wget|curl'), ['wget', 'curl']],
    ['all: the rarer one', all([has(path, ANY, '/sh'), has(name, ANY, '/etc/shadow', ANY)]), ['/etc/shadow']],
    ['all: a column before what lies in data', all([has(cwd, '/var/tmp/x'), has(path, '/bin/sh')]), ['^/bin/sh$']],
    ['all: what has some', all([not(has(path, 'x')), has(path, 'y')]), ['^y$']],
    ['any: those of each', any([has(path, 'x'), has(name, 'y')]), ['^x$', '^y$']],
    ['any: none where one has none', any([has(path, 'x'), not(has(name, 'y'))]), null],
    ['not', not(has(path, 'x')), null],
  ])('%s', (_, predicate, expected) => {
    expect(said(predicate)).toEqual(expected);
  });
});
