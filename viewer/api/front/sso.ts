/**
 * Single sign-on needs from this server, besides the login itself: the metadata that a SAML provider reads, the
 * way to sign out of the provider too, and what becomes of an answer that nobody asked for. Tested in test/sso/sso.test.ts.
 */
import { showSamlMetadata } from '#schemas/api/front/sign-in.js';
import { showConnectorLogout, showConnectorMetadata, showConnectorUnasked } from '#schemas/api/people/connectors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { cookieToken } from '../access/identity.js';
import type { ViewerAuthority } from '../access/identity.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';

/** The authority, as far as it is asked here. */
type Asked = Pick<ViewerAuthority, 'relaying'>;

/** Public, as the provider asks for it. It holds an address, a certificate, and nothing secret. */
export function samlMetadataRoute(serving: Serving, authority: Asked): void {
  serving.open(showSamlMetadata, async ({ request, reply, params }) => {
    const { xml } = await call(authority.relaying({ client: sourceAddress(request) }), showConnectorMetadata, { params });
    return reply.type('application/samlmetadata+xml; charset=utf-8').send(xml);
  });
}

/** Where to redirect a browser with an unsolicited answer: to the start of a login, if the connector allows that; otherwise null. */
export async function unasked(authority: Asked, connector: string, client: string): Promise<string | null> {
  const { begin } = await call(authority.relaying({ client }), showConnectorUnasked, { params: { name: connector } }).catch(() => ({
    begin: false,
  }));
  return begin ? `/sign-in?auth=${connector}` : null;
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

/** Address at which the browser signs out of the provider; null if there is none, or if the provider is unreachable. */
export async function providerLogout(authority: Asked, connector: string, client: string): Promise<string | null> {
  const { url } = await call(authority.relaying({ client }), showConnectorLogout, { params: { name: connector } }).catch(() => ({
    url: null,
  }));
  return url;
}
