import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { anySearch } from '../testing/searches.js';
import type { SearchExpression } from './expression.js';
import { SearchError } from './lexer.js';
import { MAX_SEARCH, parseSearch } from './parse.js';
import { printSearch } from './print.js';

const now = Date.UTC(2026, 2, 10, 12, 0, 0);
const parse = (text: string): SearchExpression => parseSearch(text, now);
const printed = (text: string): string => printSearch(parse(text));

test.each<[string, string]>([
  ['shadow', 'shadow'],
  ['cat /etc/shadow', 'cat "/etc/shadow"'],
  ['/shad.w/', '/shad.w/'],
  ['/cat \\/etc/ root', '/cat \\/etc/ root'],
  ['"permission denied"', '"permission denied"'],
  ['sudo or su -kernel', 'sudo or su -kernel'],
  ['(sudo or su) alice', '(sudo or su) alice'],
  ['not (sudo or su)', '-(sudo or su)'],
  ['a AND b OR c', 'a b or c'],
  ['kub*', 'kub*'],
  ['\\or "or"', '\\or "or"'],
  ['user:alice node:web-*', 'user:alice node:web-*'],
  ['user:(alice or bob)', 'user:alice or user:bob'],
  ['user:(alice bob) x', '(user:alice or user:bob) x'],
  ['path:/etc/shadow', 'path:/etc/shadow'],
  ['argv:"*curl * | sh"', 'argv:*curl\\ *\\ |\\ sh'],
  ['port:>1024', 'port:>=1025'],
  ['size:10MB..1GiB', 'size:10000000..1073741824'],
  ['https://example.com/a', '"https://example.com/a"'],
  ['std::vector', '"std::vector"'],
  ['error: no', '"error:" no'],
  ['rm -rf', 'rm -rf'],
  ['after:2h', 'after:2026-03-10T10:00:00.000Z'],
  ['before:2026-03', 'before:2026-03-01T00:00:00.000Z'],
  ['during:yesterday', 'during:2026-03-09T00:00:00.000Z..2026-03-09T23:59:59.999Z'],
  ['during:1d', 'during:2026-03-09T12:00:00.000Z..2026-03-10T11:59:59.999Z'],
  ['during:2026-03-01T14..2026-03-01T15:30+01:00', 'during:2026-03-01T14:00:00.000Z..2026-03-01T14:30:59.999Z'],
  ['during:2026-05-01..2026-05-02', 'during:2026-05-01T00:00:00.000Z..2026-05-02T23:59:59.999Z'],
  ['KIND:Exec', 'kind:exec'],
])('%s is %s', (text, canonical) => {
  expect(printed(text)).toBe(canonical);
  expect(printed(canonical)).toBe(canonical);
});

describe('errors have a position', () => {
  test.each<[string, number, RegExp]>([
    ['', 0, /nothing to search/],
    ['   ', 0, /nothing to search/],
    ['(a', 0, /never closed/],
    ['a)', 1, /closing parenthesis/],
    ['()', 1, /between the parentheses/],
    ['a or', 4, /ends where a term/],
    ['a and', 5, /after "and"/],
    ['or a', 0, /stands between two terms/],
    ['"abc', 0, /never closed/],
    ['x "  "', 2, /between the quotation marks/],
    ['a\\', 1, /backslash/],
    ['usr:alice', 0, /no field "usr"; did you mean "user"/],
    ['user:', 5, /directly after the colon/],
    ['user: alice', 5, /directly after the colon/],
    ['user:()', 5, /has no value/],
    ['kind:excc', 5, /is one of screen/],
    ['port:ssh', 5, /a number or a range/],
    ['port:9..1', 5, /a number or a range/],
    ['size:10XB', 5, /a number or a range/],
    ['after:soon', 6, /a moment/],
    ['after:2026-02-30', 6, /a moment/],
    ['during:2026-03-02..2026-03-01', 7, /a moment/],
    ['a'.repeat(MAX_SEARCH + 1), MAX_SEARCH, /at most 1000/],
    ['a '.repeat(65), 128, /at most 64 terms/],
    [`${'('.repeat(17)}a${')'.repeat(17)}`, 16, /at most 16 levels/],
  ])('%s', (text, at, message) => {
    const error = (() => {
      try {
        parse(text);
        return undefined;
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(SearchError);
    expect((error as SearchError).message).toMatch(message);
    expect((error as SearchError).at).toBe(at);
  });
});

const searches = anySearch({
  texts: ['sudo', '/etc/shadow', 'a b', '-x', 'or', 'not', '"', '\\', '*', 'é', '(', ':', 'user:x', '<3', '..'],
  values: {},
  moments: [0, now, now + 1],
});

test('a printed search parses to the same tree', () => {
  fc.assert(
    fc.property(searches, (expression) => {
      const text = printSearch(expression);
      fc.pre(text.length <= MAX_SEARCH);
      expect(parse(text)).toEqual(expression);
    }),
    { numRuns: 2000 },
  );
});

test('any text parses or fails with a position in it', () => {
  const alphabet = ['a', 'or', ' ', '"', '(', ')', '-', '\\', '/', '*', ':', 'user:', 'port:', 'after:', '..', '>', '1', '😀', '\ud800'];
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ maxLength: 60 }),
        fc.array(fc.constantFrom(...alphabet), { maxLength: 20 }).map((all) => all.join('')),
      ),
      (text) => {
        try {
          const expression = parse(text);
          expect(parse(printSearch(expression))).toEqual(expression);
        } catch (error) {
          if (!(error instanceof SearchError)) throw error;
          expect(error.at).toBeGreaterThanOrEqual(0);
          expect(error.at).toBeLessThanOrEqual(text.length);
        }
      },
    ),
    { numRuns: 5000 },
  );
});
