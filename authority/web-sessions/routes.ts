/**
 * The routes of web sessions, for viewers, of the one-time links that start them, and of terminals in the page. Tested in
 * ../app.test.ts and terminals.test.ts.
 */
import { certifyTerminal, listTerminalNodes } from '#schemas/api/people/terminals.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { createSignInLink, endWebSession, showWebSession, signIn } from '#schemas/api/people/web-sessions.js';
import { WEB_SESSION_HEADER } from '#schemas/endpoint/endpoint.js';
import { handle } from '../http/server.js';
import type { Context, Route } from '../http/server.js';
import type { Caller } from '../records/audit.js';
import type { Terminals } from './terminals.js';
import type { Links } from './web-sessions.js';

export function webSessionRoutes(links: Links, terminals: Terminals): readonly Route[] {
  return [
    handle(listTerminalNodes, async (c) => terminals.nodes((await holder(links, c)).web)),
    handle(
      certifyTerminal,
      async (c) => {
        const { web, caller } = await holder(links, c);
        return terminals.certify(web, c.body, caller);
      },
      ({ login, node }) => `${login}@${node}`,
    ),
    handle(createSignInLink, ({ caller, principal }) =>
      links.create(caller.actor, caller, principal.kind === 'user' ? principal.identity : undefined),
    ),
    handle(signIn, ({ caller, body }) => links.signIn(body.token, caller)),
    handle(showWebSession, ({ headers }) => links.introspect(headers[WEB_SESSION_HEADER] ?? '')),
    handle(endWebSession, ({ headers, caller }) => links.signOut(headers[WEB_SESSION_HEADER] ?? '', caller)),
  ];
}

/** The user whose web session the viewer relays; from here on the audit names that user. Throws NOT_SIGNED_IN, LOCKED. */
async function holder(
  links: Links,
  { headers, caller, behalf }: Context<unknown>,
): Promise<{ readonly web: WebIdentity; readonly caller: Caller }> {
  const web = await links.introspect(headers[WEB_SESSION_HEADER] ?? '');
  return { web, caller: behalf({ actor: web.user, source: caller.source }) };
}
