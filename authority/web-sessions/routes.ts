/** The routes of web sessions, for viewers, and of the one-time links that begin them. Tested in ../app.test.ts. */
import { createSignInLink, endWebSession, showWebSession, signIn } from '#schemas/api/people/web-sessions.js';
import { WEB_SESSION_HEADER } from '#schemas/endpoint/endpoint.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import type { Links } from './web-sessions.js';

export function webSessionRoutes(links: Links): readonly Route[] {
  return [
    handle(createSignInLink, ({ caller, principal }) =>
      links.create(caller.actor, caller, principal.kind === 'user' ? principal.identity : undefined),
    ),
    handle(signIn, ({ caller, body }) => links.signIn(body.token, caller)),
    handle(showWebSession, ({ headers }) => links.introspect(headers[WEB_SESSION_HEADER] ?? '')),
    handle(endWebSession, ({ headers, caller }) => links.signOut(headers[WEB_SESSION_HEADER] ?? '', caller)),
  ];
}
