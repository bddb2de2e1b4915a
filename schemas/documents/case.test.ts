import { expect, test } from 'vitest';
import { actTakesReason, caseActs, caseAfter, caseStates, caseTakesItems } from './case.js';

test('a case is closed by two acts, and each state has a successor', () => {
  const table = caseStates.map((state) => [state, caseActs.filter((act) => caseAfter(state, act) !== null)]);
  expect(Object.fromEntries(table)).toEqual({
    open: ['investigate', 'close'],
    investigating: ['close'],
    closing: ['sign', 'return'],
    closed: ['reopen'],
  });
  expect(caseAfter('open', 'sign')).toBeNull();
  expect(caseAfter('investigating', 'sign')).toBeNull();
  expect(caseAfter('closing', 'sign')).toBe('closed');
});

test('acts that revise an earlier one need a reason; a case that is being closed accepts no more items', () => {
  expect(caseActs.filter(actTakesReason)).toEqual(['close', 'return', 'reopen']);
  expect(caseStates.filter(caseTakesItems)).toEqual(['open', 'investigating']);
});
