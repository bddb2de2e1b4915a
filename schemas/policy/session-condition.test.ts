import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileExpression } from './label-expression.js';
import { decideSession, sessionCondition } from './session.js';
import { earlier, holds } from './session-condition.js';
import { expressions, seenSession, subjects } from './testing/session-rules.js';

test.each(expressions)('the tree gives the same result as the evaluated expression: %s', (text, condition) => {
  const user = { name: 'ann', roles: ['dev', 'ops'], traits: { team: ['shop', 'pay'], none: [] } };
  fc.assert(
    fc.property(seenSession, (session) => {
      const owner = session.user === 'ann' && session.started_at < 5_000 ? earlier('ann') : session.user;
      const scope = { user, labels: session.labels, session: { ...session, user: owner } };
      expect(holds(condition, session)).toBe(compileExpression(text, 'session').evaluate(scope));
    }),
  );
});

test('a query returns exactly the sessions that the policy allows', () => {
  fc.assert(
    fc.property(subjects, seenSession, fc.constantFrom('list', 'view', 'export', 'join'), (subject, session, action) => {
      expect(holds(sessionCondition(subject, action), session) === true).toBe(
        decideSession(subject, action, session, session.labels).allowed,
      );
    }),
    { numRuns: 2_000 },
  );
});
