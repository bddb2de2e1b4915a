/**
 * What single sign-on needs of this server beside the login itself: the metadata that a SAML provider reads, the
 * way to sign out of the provider too, and what becomes of an answer that nobody asked for. Tested in test/sso/sso.test.ts.
 */
import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { WebIdentity } from '#schemas/api.js';
import { cookieToken } from '../access/identity.js';
import { sourceAddress } from '../http/guard.js';
import { parseInput } from '../http/query.js';

/** The authority, as far as it is asked here. */
interface Asked {
  relay(call: { readonly method: 'GET'; readonly target: string; readonly client: string }): Promise<unknown>;
}

const connectorName = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'is not a name');

/** Public, as the provider asks for it. It holds an address, a certificate, and nothing secret. */
export function samlMetadataRoute(app: FastifyInstance, authority: Asked): void {
  app.get('/api/login/saml/:name/metadata', async (request, reply) => {
    const name = parseInput(connectorName, (request.params as { name?: unknown }).name);
    const { xml } = (await authority.relay({
      method: 'GET',
      target: `/v1/connectors/${name}/metadata`,
      client: sourceAddress(request),
    })) as { xml: string };
    return reply.type('application/samlmetadata+xml; charset=utf-8').send(xml);
  });
}

/** Where a browser goes whose answer nobody asked for: into a login that somebody asks for, where the connector wants that. */
export async function unasked(authority: Asked, connector: string, client: string): Promise<string | null> {
  const answer = (await authority
    .relay({ method: 'GET', target: `/v1/connectors/${connector}/unasked`, client })
    .catch(() => ({ begin: false }))) as { begin: boolean };
  return answer.begin ? `/sign-in?auth=${connector}` : null;
}

/** The connector that began the browser's web session; null for another way, or no session. */
export async function connectorOf(
  authority: { webSession(token: string): Promise<WebIdentity> },
  cookie: string | undefined,
  secure: boolean,
): Promise<string | null> {
  const token = cookieToken(cookie, secure);
  if (token === null) return null;
  const via = await authority.webSession(token).then(
    (web) => web.via,
    () => null,
  );
  return via === null || via === 'link' || via === 'local' ? null : via;
}

/** Where the browser goes to sign out of the provider; null when nowhere, or when the provider cannot be asked. */
export async function providerLogout(authority: Asked, connector: string, client: string): Promise<string | null> {
  const answer = await authority
    .relay({ method: 'GET', target: `/v1/connectors/${connector}/logout`, client })
    .catch(() => ({ url: null }));
  return (answer as { url: string | null }).url;
}
