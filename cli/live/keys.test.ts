import { expect, it } from 'vitest';
import { LiveKeys, keysOf, pastKey } from './keys.js';

it.each([
  [' ', '', 'pause'],
  ['\u001b[D', '', 'back'],
  ['\u001bOD', '', 'back'],
  ['/word', '', 'search'],
  ['\u000c ', '\u000c', 'pause'],
  ['q', 'q', null],
  ['\u001b[C', '\u001b[C', null],
  ['\u001b', '\u001b', null],
])('%j goes to the gateway as %j, and into the past by %j', (typed, pass, enter) => {
  expect(new LiveKeys().take(typed)).toEqual({ pass, enter });
});

it.each(['\r', '\n', '\u0003', '\u001b'])('a message is written to its end %j, spaces and slashes included', (end) => {
  const keys = new LiveKeys();
  for (const text of ['c', 'a b/c', '\u001b[D', end]) expect(keys.take(text)).toEqual({ pass: text, enter: null });
  expect(keys.take(' ')).toEqual({ pass: '', enter: 'pause' });
});

it('keys are characters, and sequences as one', () => {
  expect(keysOf('a\u001b[1;5Dé\u001b\u001bOA中')).toEqual(['a', '\u001b[1;5D', 'é', '\u001b', '\u001bOA', '中']);
  expect(pastKey('x')).toBeNull();
  expect(pastKey('constructor')).toBeNull();
  expect(pastKey('\u001b[D')).toEqual({ by: -10_000 });
});
