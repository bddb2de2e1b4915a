/**
 * Whether what somebody views of a session carries a watermark: it does when one role of theirs asks for one, whichever role
 * lets them view. An expression about labels that are not known holds: in doubt there is a watermark. Tested in
 * watermark.test.ts; what it prevents and what not is in docs/roles.md.
 */
import { expressionOf, scopeOf } from './compiled.js';
import type { WatermarkTerm } from './role.js';
import { ownerOf } from './session.js';
import type { SessionTarget } from './session.js';
import type { Subject } from './subject.js';

/** `labels`: of the session's node when the session began, null when they are not known. */
export function asksForWatermark(subject: Subject, session: SessionTarget, labels: Readonly<Record<string, string>> | null): boolean {
  const scope = { ...scopeOf(subject, null), labels, session: { ...session, user: ownerOf(session, subject) } };
  return subject.roles.some(({ watermark }) =>
    typeof watermark === 'object' ? (expressionOf(watermark.where, 'session').evaluate(scope) ?? true) : watermark,
  );
}

/** Whether `held` may ask for a watermark where `given` does not. An expression is only known to ask as often as the same one. */
export function looserWatermark(given: WatermarkTerm, held: WatermarkTerm): boolean {
  if (held === false || given === true) return false;
  return given === false || held === true || given.where !== held.where;
}
