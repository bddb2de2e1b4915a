import { describe, expect, it } from 'vitest';
import { isPurpose, namesTicket, wordsOf } from './reason.js';

const readOnly = { reason: ['read only', 'look at'], unless: ['fix', 'clean up'] };

describe('a purpose', () => {
  it.each([
    ['Read-only, please', true],
    ['READ   only', true],
    ['I want to look at the logs.', true],
    ['thread only', false],
    ['look attentively', false],
    ['look at nginx and fix it', false],
    ['look at the disk, clean-up if it is full', false],
    ['a prefix of the logs, read only', true],
    ['', false],
  ])('%j: %s', (reason, holds) => {
    expect(isPurpose(readOnly, reason)).toBe(holds);
  });

  it('without phrases of a reason is any reason', () => {
    expect([
      isPurpose({ reason: [], unless: ['key'] }, 'the disk is full'),
      isPurpose({ reason: [], unless: ['key'] }, 'a new key'),
    ]).toEqual([true, false]);
  });

  it('of letters of other scripts is as good', () => {
    expect(isPurpose({ reason: ['nur lesen', 'смотреть'], unless: [] }, 'Ich will NUR LESEN')).toBe(true);
    expect(isPurpose({ reason: ['смотреть'], unless: [] }, 'Смотреть журнал')).toBe(true);
  });
});

it('words may be names of machines', () => {
  expect([...wordsOf('Restart nginx on web-3.example.com, then db_1.')]).toEqual([
    'restart',
    'nginx',
    'on',
    'web-3.example.com',
    'then',
    'db_1',
  ]);
});

it.each([
  ['OPS-17: disk is full', true],
  ['see ops 17', true],
  ['OPS17', true],
  ['INC#4', true],
  ['DEVOPS-17', false],
  ['OPS', false],
  ['17', false],
  ['OPS-17x', false],
])('the ticket in %j: %s', (reason, named) => {
  expect(namesTicket(reason, ['OPS', 'INC'])).toBe(named);
});
