import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseResponse, responsePolicy, responsesTo } from './response-policy.js';

const found = { rule: 'r1', severity: 'critical', tier: 'alert', user: 'ann', roles: ['dev', 'ops'] } as const;
const policy = (value: object) => responsePolicy.parse(value);

describe('a response policy', () => {
  it.each([
    ['a rule by its id', { rules: ['r1'] }, 'freeze'],
    ['another rule', { rules: ['r2'] }, null],
    ['a severity', { severities: ['critical'] }, 'freeze'],
    ['a severity and another tier', { severities: ['critical'], tiers: ['session'] }, null],
    ['a role of the session', { rules: ['r1'], roles: ['ops'] }, 'freeze'],
    ['a role that the session lacks', { rules: ['r1'], roles: ['admin'] }, null],
  ])('takes %s', (_, one, action) => {
    const choice = chooseResponse(policy({ responses: [{ ...one, action: 'freeze' }] }), found);
    expect(choice.kind === 'take' ? choice.action : null).toBe(action);
  });

  it('takes the first match', () => {
    const responses = [
      { rules: ['r2'], action: 'end' },
      { rules: ['r1'], action: 'freeze', ttl: '5m' },
      { severities: ['critical'], action: 'end' },
    ];
    expect(chooseResponse(policy({ responses }), found)).toEqual({ kind: 'take', action: 'freeze', asked: 'freeze', ttlMs: 300_000 });
  });

  it('demands a moderator without confirmation, by default for the longest time possible', () => {
    const taken = (more: object) => chooseResponse(policy({ responses: [{ rules: ['r1'], action: 'require_moderator', ...more }] }), found);
    expect(taken({})).toEqual({ kind: 'take', action: 'require_moderator', asked: 'require_moderator', ttlMs: 30 * 86_400_000 });
    expect(taken({ ttl: '2h' })).toMatchObject({ ttlMs: 7_200_000 });
    expect(chooseResponse(policy({ responses: [{ rules: ['r1'], action: 'freeze' }] }), found)).toMatchObject({ ttlMs: 3_600_000 });
  });

  it('never does more than freeze unless the policy says so', () => {
    const action = fc.constantFrom('freeze', 'end', 'lock_user');
    fc.assert(
      fc.property(action, fc.boolean(), (asked, sure) => {
        const choice = chooseResponse(policy({ responses: [{ rules: ['r1'], action: asked, without_confirmation: sure }] }), found);
        expect(choice).toMatchObject({ kind: 'take', action: sure ? asked : 'freeze', asked });
      }),
    );
  });

  it.each([[{ users: ['ann'] }], [{ roles: ['ops'] }]])('leaves excepted users and roles alone: %o', (except) => {
    expect(chooseResponse(policy({ except, responses: [{ rules: ['r1'], action: 'freeze' }] }), found)).toEqual({ kind: 'none' });
  });

  it.each([
    {},
    { responses: [{ action: 'freeze' }] },
    { responses: [{ rules: [], action: 'freeze' }] },
    { responses: [{ rules: ['r'], action: 'reboot' }] },
    { responses: [{ rules: ['r'], action: 'freeze', ttl: 'ever' }] },
    { responses: [{ rules: ['r'], action: 'freeze', sure: true }] },
    { responses: [], limit: { responses: 0 } },
  ])('that is invalid is refused: %o', (value) => {
    expect(responsePolicy.safeParse(value).success).toBe(false);
  });
});

describe('responses to findings of a rule', () => {
  const roles = ['dev', 'ops', 'admin'] as const;
  const response = fc.record(
    {
      rules: fc.constantFrom(['r1'], ['r2']),
      severities: fc.constantFrom(['critical'], ['low']),
      tiers: fc.constantFrom(['alert'], ['signal']),
      roles: fc.subarray([...roles], { minLength: 1 }),
      action: fc.constantFrom('freeze', 'end', 'lock_user'),
      without_confirmation: fc.boolean(),
    },
    { requiredKeys: ['rules', 'action'] },
  );

  it('for any policy, match the response to a finding under each role', () => {
    fc.assert(
      fc.property(fc.array(response, { maxLength: 5 }), fc.constantFrom(...roles, 'other'), (responses, role) => {
        const of = policy({ responses });
        const listed = responsesTo(of, found).find((one) => one.roles === null || one.roles.includes(role));
        const choice = chooseResponse(of, { ...found, roles: [role] });
        expect(listed?.action ?? null).toBe(choice.kind === 'take' ? choice.action : null);
      }),
    );
  });
});
