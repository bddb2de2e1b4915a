import { expect, it } from 'vitest';
import { questionOf } from './dns.js';

const header = '123401000001000000000000';
const name = (...labels: readonly string[]): string =>
  `${labels.map((label) => Buffer.from([label.length]).toString('hex') + Buffer.from(label, 'latin1').toString('hex')).join('')}00`;

it.each([
  ['a name', header + name('example', 'test') + '00010001', { name: 'example.test', type: 'A' }],
  ['the root', header + name() + '00020001', { name: '', type: 'NS' }],
  ['a type without a name', header + name('x') + 'ff100001', { name: 'x', type: 'TYPE65296' }],
  ['escapes and dots within labels', header + name('a.b', '\u001b[2J') + '00010001', { name: 'a\\.b.\\027[2J', type: 'A' }],
  ['an answer', '123481000001000000000000' + name('x') + '00010001', null],
  ['no question', '123401000000000000000000' + name('x') + '00010001', null],
  ['a pointer', `${header}c00c00010001`, null],
  ['a label beyond the end', `${header}3f61`, null],
  ['nothing', '', null],
  ['a header alone', header, null],
])('%s', (_what, hex, expected) => {
  expect(questionOf(Buffer.from(hex, 'hex'))).toEqual(expected);
});

it('every beginning of a question is no question, and nothing throws', () => {
  const whole = Buffer.from(header + name('example', 'test') + '00010001', 'hex');
  for (let length = 0; length < whole.length; length++) expect(questionOf(whole.subarray(0, length))).toBeNull();
  expect(questionOf(Buffer.concat([Buffer.from([0, whole.length]), whole]), true)).toEqual({ name: 'example.test', type: 'A' });
});
