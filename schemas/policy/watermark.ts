/**
 * Whether a viewed recording carries a watermark: it does if any role of the viewer requires one, whichever role permits viewing. An
 * expression about unknown labels holds, so in doubt there is a watermark. Tested in watermark.test.ts; docs/roles.md describes what
 * a watermark prevents and what it does not.
 */
import { expressionOf, scopeOf } from './compiled.js';
import type { WatermarkTerm } from './role.js';
import { ownerOf } from './session.js';
import type { SessionTarget } from './session.js';
import type { Subject } from './subject.js';

/** `labels`: labels of the session's node when the session began, null if unknown. */
export function asksForWatermark(subject: Subject, session: SessionTarget, labels: Readonly<Record<string, string>> | null): boolean {
  const scope = { ...scopeOf(subject, null), labels, session: { ...session, user: ownerOf(session, subject) } };
  return subject.roles.some(({ watermark }) =>
    typeof watermark === 'object' ? (expressionOf(watermark.where, 'session').evaluate(scope) ?? true) : watermark,
  );
}

/** Whether `held` may require a watermark when `given` does not. An expression counts as equal only if it is identical. */
export function looserWatermark(given: WatermarkTerm, held: WatermarkTerm): boolean {
  if (held === false || given === true) return false;
  return given === false || held === true || given.where !== held.where;
}
