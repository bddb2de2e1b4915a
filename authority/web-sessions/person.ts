/**
 * The person behind a call: who signed it, or whose web session the viewer relays it for.
 *
 * Tested in ../access/requests.test.ts.
 */
import { StenoError } from '#schemas/base/errors.js';
import { WEB_SESSION_HEADER } from '#schemas/endpoint/endpoint.js';
import type { Caller } from '../records/audit.js';
import type { Context } from '../http/server.js';
import type { Links } from './web-sessions.js';

export interface Person {
  readonly user: string;
  readonly caller: Caller;
  readonly via: 'steno' | 'web';
}

/** Throws NOT_SIGNED_IN, LOCKED. */
export async function personOf(links: Links, { principal, caller, headers, behalf }: Context<unknown>): Promise<Person> {
  switch (principal.kind) {
    case 'user':
      return { user: principal.identity.user, caller, via: 'steno' };
    case 'service': {
      const { user } = await links.introspect(headers[WEB_SESSION_HEADER] ?? '');
      return { user, caller: behalf({ actor: user, source: caller.source }), via: 'web' };
    }
    case 'stranger':
      throw new StenoError('NOT_SIGNED_IN');
    case 'owner':
      throw new StenoError('ACCESS_DENIED', 'sign in first: `steno login`');
  }
}
