/**
 * The user behind a call: its signer, or the owner of the web session for which the viewer relays it, with the user's current roles.
 *
 * Tested in ../access/requests.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { WEB_SESSION_HEADER } from '#schemas/endpoint/endpoint.js';
import { mayAdminister } from '#schemas/policy/administration.js';
import type { ResourceKind, ResourceVerb, Role } from '#schemas/policy/role.js';
import type { Caller } from '../records/audit.js';
import type { Context } from '../http/server.js';
import type { Links } from './web-sessions.js';

export interface Person {
  readonly user: string;
  readonly roles: readonly Role[];
  readonly caller: Caller;
  readonly via: 'steno' | 'web';
}

/** Throws NOT_SIGNED_IN, LOCKED. */
export async function personOf(links: Links, { principal, caller, headers, behalf }: Context<unknown>): Promise<Person> {
  switch (principal.kind) {
    case 'user':
      return { user: principal.identity.user, roles: principal.roles, caller, via: 'steno' };
    case 'service': {
      const { user, roles } = await links.introspect(headers[WEB_SESSION_HEADER] ?? '');
      return { user, roles, caller: behalf({ actor: user, source: caller.source }), via: 'web' };
    }
    case 'stranger':
      throw new StenoError('NOT_SIGNED_IN');
    case 'owner':
      throw new StenoError('ACCESS_DENIED', 'sign in first: `steno login`');
  }
}

/**
 * A signed call was admitted by its roles; a user on whose behalf a viewer calls is checked here, by current roles. Throws
 * ACCESS_DENIED.
 */
export function requireOfBrowser({ user, roles, via }: Person, kind: ResourceKind, verb: ResourceVerb): void {
  if (via === 'web' && !mayAdminister(roles, kind, verb))
    throw new StenoError('ACCESS_DENIED', `none of ${user}'s roles permits to ${verb} ${kind}s`);
}
