import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeShadow } from './shadow.js';

const TODAY = 20_000;
const cases: readonly [what: string, line: string | null, why: RegExp | null][] = [
  ['no entry', null, null],
  ['an ordinary one', 'a:$y$x:19000:0:99999:7:::', null],
  ['no dates at all', 'a:*:::::::', null],
  ['a locked password', 'a:!$y$x:19000:0:99999:7:::', /locked/],
  ['an account that expires tomorrow', `a:*:19000:0:99999:7::${TODAY + 1}:`, null],
  ['an account that expires today', `a:*:19000:0:99999:7::${TODAY}:`, /account has expired/],
  ['an account that expired in 1970', 'a:*:19000:0:99999:7::0:', /account has expired/],
  ['a password of yesterday', `a:*:${TODAY - 1}:0:1:7:::`, null],
  ['a password that is too old', `a:*:${TODAY - 2}:0:1:7:::`, /password has expired/],
  ['a password that must be changed', 'a:*:0:0:99999:7:::', /must be changed/],
  ['a date that is none', 'a:*:19000:0:99999:7::soon:', /cannot be checked/],
  ['a line that is none', 'a:*', /cannot be checked/],
];

describe('without PAM', () => {
  for (const [what, line, why] of cases) {
    it(`${what}: ${why === null ? 'may' : 'may not'}`, () => {
      const said = judgeShadow(line, TODAY);
      if (why === null) expect(said).toBe(null);
      else expect(said).toMatch(why);
    });
  }

  it('an expired account never may, whatever else its entry holds', () => {
    const days = fc.oneof(fc.constant(''), fc.integer({ min: 0, max: 99_999 }).map(String), fc.string({ maxLength: 5 }));
    fc.assert(
      fc.property(days, days, days, days, days, fc.integer({ min: 0, max: TODAY }), (a, b, c, d, e, expired) => {
        expect(judgeShadow(['x', '*', a, b, c, d, e, expired, ''].join(':'), TODAY)).not.toBe(null);
      }),
      { numRuns: 2_000 },
    );
  });
});
