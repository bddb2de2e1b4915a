/**
 * Endpoints of the authority that this server relays: those that declare it (`relayed`), under `/api` instead of `/v1`. The authority
 * parses bodies and makes all decisions; this module handles body limits, limits per address, the cookie, and the client's address.
 * Tested in test/end-to-end/users.test.ts and test/end-to-end/requests.test.ts.
 */
import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify';
import { authorityEndpoints } from '#schemas/api/authority.js';
import { relayedPath } from '#schemas/api/viewer.js';
import { StenoError } from '#schemas/base/errors.js';
import { noBody } from '#schemas/endpoint/endpoint.js';
import { targetOf } from '#schemas/endpoint/target.js';
import { cookieToken } from '../access/identity.js';
import type { ViewerAuthority } from '../access/identity.js';
import { sourceAddress } from '../http/guard.js';
import { parseInput } from '../http/query.js';

export interface RelayRouteDeps {
  readonly authority: Pick<ViewerAuthority, 'relaying'>;
  /** Whether the page is served over TLS. */
  readonly secure: boolean;
  /** Rate limit for requests that belong to logins. */
  readonly logins: onRequestAsyncHookHandler;
}

export function relayRoutes(app: FastifyInstance, { authority, secure, logins }: RelayRouteDeps): void {
  for (const { method, path, params, body, relayed } of authorityEndpoints) {
    if (relayed === undefined) continue;
    app.route({
      method,
      url: relayedPath(path),
      ...(relayed.bodyLimit === undefined ? {} : { bodyLimit: relayed.bodyLimit }),
      ...(relayed.limited ? { onRequest: logins } : {}),
      handler: (request) => {
        const session = relayed.session ? sessionOf(request.headers.cookie, secure) : undefined;
        const target = targetOf(path, parseInput(params, request.params));
        const send = authority.relaying({ session, client: sourceAddress(request) });
        return send(method, target, (body as unknown) === noBody ? undefined : (request.body ?? {}));
      },
    });
  }
}

function sessionOf(cookie: string | undefined, secure: boolean): string {
  const token = cookieToken(cookie, secure);
  if (token === null) throw new StenoError('NOT_SIGNED_IN');
  return token;
}
