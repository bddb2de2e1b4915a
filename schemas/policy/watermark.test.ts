import { describe, expect, test } from 'vitest';
import { roleSchema } from './role.js';
import type { Role, WatermarkTerm } from './role.js';
import { asksForWatermark, looserWatermark } from './watermark.js';

const role = (watermark: unknown, name = 'r'): Role => roleSchema.parse({ kind: 'role', name, watermark });
const session = { user: 'bob', node: 'web-1', login: 'www', kind: 'shell', started_at: 1_000 };
const asks = (roles: readonly Role[], labels: Record<string, string> | null = { env: 'prod' }): boolean =>
  asksForWatermark({ user: 'ann', roles, traits: { team: ['shop'] } }, session, labels);

describe('a watermark', () => {
  test.each<[string, unknown[], Record<string, string> | null, boolean]>([
    ['is not required unless a role requires it', [false, false], { env: 'prod' }, false],
    ['is required if one of several roles requires it', [false, true], { env: 'prod' }, true],
    ['is required for sessions that match an expression', [{ where: "labels.env == 'prod'" }], { env: 'prod' }, true],
    ['is not required for others', [{ where: "labels.env == 'prod'" }], { env: 'dev' }, false],
    ['is required if labels are unknown', [{ where: "labels.env == 'prod'" }], null, true],
    ['is required if the node lacks the label', [{ where: "labels.env == 'prod'" }], {}, true],
    ['may depend on the viewer', [{ where: "'shop' in user.traits.team" }], {}, true],
    ['may exclude own sessions', [{ where: 'session.user != user.name' }], {}, true],
  ])('%s', (_claim, terms, labels, expected) => {
    expect(
      asks(
        terms.map((term) => role(term)),
        labels,
      ),
    ).toBe(expected);
  });

  test('treats sessions of an earlier bearer of the name as those of somebody else', () => {
    const others = role({ where: 'session.user != user.name' });
    const subject = { user: 'bob', roles: [others], traits: {}, since: 2_000 };
    expect(asksForWatermark(subject, session, {})).toBe(true);
    expect(asksForWatermark(subject, { ...session, started_at: 3_000 }, {})).toBe(false);
  });

  test('has a strict form: no other words, no invalid expressions', () => {
    for (const wrong of ['yes', { where: 'nonsense.field == 1' }, { always: true }, {}])
      expect(roleSchema.safeParse({ kind: 'role', name: 'r', watermark: wrong }).success).toBe(false);
  });
});

const where = { where: "labels.env == 'prod'" };
test.each<[WatermarkTerm, WatermarkTerm, boolean]>([
  [false, false, false],
  [true, true, false],
  [true, where, false],
  [where, false, false],
  [where, where, false],
  [false, true, true],
  [false, where, true],
  [where, true, true],
  [{ where: "labels.env == 'dev'" }, where, true],
])('%j is looser than %j: %s', (given, held, looser) => {
  expect(looserWatermark(given, held)).toBe(looser);
});
