import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseX509UserNames, x509UserNames } from './user-certificate.js';

const facts = { traits: { team: ['a, b', 'ü "x"'] }, mfa: 'key-1', requests: ['r1', 'r2'] };
const [first] = x509UserNames(facts) as [string];

test('names are parsed as they were written', () => {
  const name = fc.constantFrom('a', 'key-1', 'x.y');
  fc.assert(
    fc.property(
      fc.record({
        traits: fc.dictionary(
          fc.constantFrom('team', 'a/b', 'z'),
          fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 3 }),
        ),
        mfa: fc.option(name),
        requests: fc.array(name, { maxLength: 3 }),
      }),
      (all) => {
        expect(parseX509UserNames(x509UserNames(all))).toEqual({ ...all, traits: { ...all.traits } });
      },
    ),
  );
});

test('each name is plain, so that programs that print certificates need not quote it', () => {
  expect(x509UserNames(facts).every((name) => /^steno:\/\/[a-z0-9/_-]+$/i.test(name))).toBe(true);
});

test.each<[string, readonly string[]]>([
  ['no facts', ['steno://request/r1']],
  ['nothing', []],
  ['facts twice', [first, first]],
  ['another name', [first, 'https://example.com/']],
  ['another version', [first.replace('/1/', '/2/')]],
  ['not JSON', ['steno://user/1/YWJj']],
  ['padding', [`${first}=`]],
  ['an invalid request id', [first, 'steno://request/../x']],
  ['an unknown field', [`steno://user/1/${encoded({ traits: {}, mfa: null, more: 1 })}`]],
  ['an invalid device name', [`steno://user/1/${encoded({ traits: {}, mfa: 'A B' })}`]],
])('%s is refused', (_claim, names) => expect(parseX509UserNames(names)).toBeNull());

declare function btoa(text: string): string;
function encoded(value: unknown): string {
  return btoa(JSON.stringify(value)).replace(/=+$/, '');
}
