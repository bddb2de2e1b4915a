import { expect, test } from 'vitest';
import { UNUSED_MS, reviewed } from './reviewed-access.js';
import type { AccessHolding } from './access-reviews.js';
import type { AccessUse } from '../recordings/audit.js';

const now = 1_763_800_000_000;
const day = 86_400_000;
const holding = (more: Partial<AccessHolding>): AccessHolding => ({
  user: 'ann',
  kind: 'local',
  disabled: false,
  role: 'ops',
  because: ['allow.nodes'],
  reach: [{ node: 'web-1', logins: ['deploy'] }],
  since: now - 365 * day,
  decision: null,
  ...more,
});
const use = (more: Partial<AccessUse>): AccessUse => ({
  user: 'ann',
  node: 'web-1',
  login: 'deploy',
  last_at: now - day,
  count: 3,
  ...more,
});

test.each([
  ['used yesterday', holding({}), [use({})], now - day, 3, false],
  [
    'used by several logins, the last counts',
    holding({ reach: [{ node: 'web-1', logins: ['deploy', 'root'] }] }),
    [use({ login: 'root', last_at: now - 5 }), use({})],
    now - 5,
    6,
    false,
  ],
  ['used longer ago than 90 days', holding({}), [use({ last_at: now - UNUSED_MS - 1 })], now - UNUSED_MS - 1, 3, true],
  ['used by somebody else', holding({}), [use({ user: 'bob' })], null, 0, true],
  ['used as a login that it does not reach', holding({}), [use({ login: 'root' })], null, 0, true],
  ['used on a node that it does not reach', holding({}), [use({ node: 'web-2' })], null, 0, true],
  [
    'any login means any but root',
    holding({ reach: [{ node: 'web-1', logins: ['*'] }] }),
    [use({ login: 'root' }), use({ login: 'www', count: 1 })],
    now - day,
    1,
    false,
  ],
  ['never used, but granted last week', holding({ since: now - 7 * day }), [], null, 0, false],
  ['never used', holding({}), [], null, 0, true],
] as const)('%s', (_, held, used, last, sessions, unused) => {
  expect(reviewed([held], used, now)).toEqual([{ ...held, last_used: last, sessions, unused }]);
});
