/**
 * Single sign-on apart from the login itself: the metadata that a SAML provider reads, signing out of the provider too, and unsolicited
 * answers. Tested in test/sso/sso.test.ts.
 */
import { showSamlMetadata } from '#schemas/api/front/sign-in.js';
import { showConnectorLogout, showConnectorMetadata, showConnectorUnasked } from '#schemas/api/people/connectors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { cookieToken } from '../access/identity.js';
import type { ViewerAuthority } from '../access/identity.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';

/** The part of the authority that this module calls. */
type Asked = Pick<ViewerAuthority, 'relaying'>;

/** Public, as the provider requires. The metadata contains an address and a certificate, and nothing secret. */
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

/** The connector that began the browser's web session; null if the session began another way, or if there is none. */
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
