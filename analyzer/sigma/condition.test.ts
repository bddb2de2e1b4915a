import { describe, expect, it } from 'vitest';
import type { Predicate } from '../predicate/predicate.js';
import { test } from '../predicate/predicate.js';
import type { RuleField } from '../sources/mapping.js';
import { ConditionError, parseCondition } from './condition.js';

const names = ['a', 'b', 'sel_1', 'sel_2', '_hidden', 'not_this'];
const selections = new Map(names.map((name) => [name, test<RuleField>(name, { kind: 'absent' })]));

/** `(a & !b)`. */
function said(predicate: Predicate<RuleField>): string {
  switch (predicate.kind) {
    case 'truth':
      return String(predicate.truth);
    case 'test':
      return String(predicate.field);
    case 'not':
      return `!${said(predicate.of)}`;
    default:
      return `(${predicate.of.map(said).join(predicate.kind === 'all' ? ' & ' : ' | ')})`;
  }
}

describe('conditions', () => {
  it.each([
    ['a', 'a'],
    ['a and b or sel_1', '((a & b) | sel_1)'],
    ['a or b and sel_1', '(a | (b & sel_1))'],
    ['not a and b', '(!a & b)'],
    ['not (a or b)', '!(a | b)'],
    ['not not a', 'a'],
    ['(a)', 'a'],
    ['(a or b)and(sel_1)', '((a | b) & sel_1)'],
    ['1 of sel_*', '(sel_1 | sel_2)'],
    ['any of sel_*', '(sel_1 | sel_2)'],
    ['all of sel_*', '(sel_1 & sel_2)'],
    ['not 1 of sel_*', '!(sel_1 | sel_2)'],
    ['1 of a', 'a'],
    ['all of *_*', '(sel_1 & sel_2 & _hidden & not_this)'],
    ['1 of them', '(a | b | sel_1 | sel_2 | not_this)'],
    ['all of them', '(a & b & sel_1 & sel_2 & not_this)'],
    ['  a \n and\tb ', '(a & b)'],
  ])('%s', (text, expected) => {
    const { predicate, aggregation } = parseCondition(text, selections);
    expect([said(predicate), aggregation]).toEqual([expected, null]);
  });

  it('what stands behind a | is kept by itself', () => {
    expect(parseCondition('a | count() by host > 5', selections).aggregation).toBe('count() by host > 5');
  });

  it.each([
    ['', 0, /ends where/],
    ['a and', 4, /ends where/],
    ['a b', 2, /expects and or or/],
    ['(a', 1, /lacks a \)/],
    ['(a b)', 3, /and, or or \)/],
    ['a)', 1, /expects and or or/],
    ['and a', 0, /before and/],
    ['a or | b', 5, /before \|/],
    ['missing', 0, /"missing"/],
    ['a and c', 6, /"c"/],
    ['1 of x*', 5, /"x\*"/],
    ['1 of', 3, /them or a pattern/],
    ['2 of sel_*', 0, /1 of, any of/],
    ['a AND b', 2, /expects and or or/],
    [`${'('.repeat(100)}a${')'.repeat(100)}`, 65, /deeper than 64/],
    [`a${' and a'.repeat(1_000)}`, undefined, /more than 1000/],
  ])('refuses %j and says where', (text, at, why) => {
    let error: unknown;
    try {
      parseCondition(text, selections);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConditionError);
    expect((error as ConditionError).message).toMatch(why);
    if (at !== undefined) expect((error as ConditionError).at).toBe(at);
  });
});
