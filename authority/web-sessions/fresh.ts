/** Requires recent sign-ins for actions that a stolen cookie must not allow. Tested in ../people/login/login.test.ts. */
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { StenoError } from '#schemas/base/errors.js';

/** A sign-in counts as fresh for this long. */
export const FRESH_MS = 10 * 60_000;

/** Throws LOGIN_TOO_OLD unless the user has signed in recently, with more than a link. */
export function requireFresh(who: WebIdentity, now: number): void {
  if (!isFresh(who, now)) throw new StenoError('LOGIN_TOO_OLD', who.via === 'link' ? 'a link is not enough for this' : undefined);
}

export function isFresh(who: WebIdentity, now: number): boolean {
  return who.via !== 'link' && now - who.since <= FRESH_MS;
}
