import { describe, expect, test } from 'vitest';
import { LastWords, gatewayWords } from '../ssh/gateway-words.js';
import { confirmationIn, wordsOf } from './end.js';

const heard = { banner: '', last: '', ran: true };
const locked = 'steno: access is locked: on user alice: stolen laptop [LOCKED]\r\nsteno: Ask an administrator to lift the lock.\r\n';

describe('how a terminal ended', () => {
  test.each([
    ['its shell', { kind: 'exit', status: 0 }, heard, { good: true, what: 'The shell ended' }],
    ['its shell, with a status', { kind: 'exit', status: 130 }, heard, { good: false, what: 'The shell ended with status 130' }],
    ['a signal', { kind: 'signal', name: 'KI<b>LL' }, heard, { good: false, what: 'The shell was ended by the signal KILL' }],
    ['its user', { kind: 'left' }, heard, { good: true, what: 'You closed this terminal' }],
    [
      'a program with status 255',
      { kind: 'exit', status: 255 },
      { ...heard, last: 'bye\r\n' },
      { what: 'The shell ended with status 255' },
    ],
    ['the node', { kind: 'closed' }, heard, { what: 'The node closed the session' }],
    ['the gateway, without a word', { kind: 'disconnected', code: 11, text: '' }, heard, { what: 'The gateway ended the session' }],
    ['a refusal without a banner', { kind: 'refused' }, heard, { what: 'The gateway did not admit you' }],
  ] as const)('by %s', (_, end, about, words) => expect(wordsOf(end, about)).toMatchObject(words));

  const said = {
    good: false,
    what: 'Access is locked: on user alice: stolen laptop',
    fix: 'Ask an administrator to lift the lock.',
  };
  test('by the gateway, whose last words on the terminal say why', () =>
    expect(wordsOf({ kind: 'exit', status: 255 }, { ...heard, last: `$ ls\r\n\r\n${locked}` })).toEqual(said));
  test('by the gateway, which disconnects with its words', () =>
    expect(wordsOf({ kind: 'disconnected', code: 11, text: locked.replace('\r\n', ' ').trim() }, heard)).toEqual(said));
  test('by the gateway, which says so in a banner', () => expect(wordsOf({ kind: 'refused' }, { ...heard, banner: locked })).toEqual(said));
});

test('words of the gateway are its lines with a code, and nothing else', () => {
  expect(gatewayWords('steno: no code here')).toBeNull();
  expect(gatewayWords('$ echo steno: x [LOCKED]')).toBeNull();
  expect(gatewayWords('')).toBeNull();
});

test('of an address to confirm at the token alone is taken', () => {
  const token = 'A-_z'.repeat(10).concat('abc');
  expect(confirmationIn(`steno:   https://evil.example/confirm#${token}\r\n`)).toBe(token);
  expect(confirmationIn(`steno:   https://steno.example/confirm#${token}x`)).toBeNull();
  expect(confirmationIn('steno: nothing to confirm')).toBeNull();
});

test('the end of what was printed is kept, and no more', () => {
  const words = new LastWords();
  for (let i = 0; i < 100; i += 1) words.take(new TextEncoder().encode('x'.repeat(1_000)));
  words.take(new TextEncoder().encode(locked));
  expect(words.text).toHaveLength(2_048);
  expect(words.text.endsWith(locked)).toBe(true);
});
