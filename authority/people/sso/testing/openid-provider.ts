/**
 * A real OpenID provider on a free loopback port: oidc-provider with its development pages, whose login accepts any name.
 */
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';

export interface OpenidProvider {
  readonly issuer: string;
  /** Signs with a new key from now on, under the same issuer, and withdraws the old one. */
  rotate(): void;
  close(): Promise<void>;
}

export const CLIENT_ID = 'steno';
export const CLIENT_SECRET = 'a secret of the client: with % and +';

export interface OpenidProviderOptions {
  readonly callback: () => string;
  readonly afterLogout?: () => string;
  /** The claims for a user who logs in under a name. */
  readonly claims: (name: string) => Readonly<Record<string, unknown>>;
  /** Claims are available from userinfo only, not in the ID token. */
  readonly byUserinfo?: boolean;
}

export async function openidProvider({
  callback,
  claims,
  afterLogout = callback,
  byUserinfo = false,
}: OpenidProviderOptions): Promise<OpenidProvider> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const start = (): void => {
    const provider = new Provider(issuer, {
      clients: [
        {
          client_id: CLIENT_ID,
          client_secret: CLIENT_SECRET,
          redirect_uris: [callback()],
          post_logout_redirect_uris: [afterLogout()],
          grant_types: ['authorization_code'],
          response_types: ['code'],
          // Claims are requested by scope.
          scope: 'openid profile email groups',
        },
      ],
      jwks: {
        keys: [{ ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }],
      },
      scopes: ['openid', 'profile', 'email', 'groups'],
      claims: { openid: ['sub'], profile: ['preferred_username', 'locale'], email: ['email', 'email_verified'], groups: ['groups'] },
      conformIdTokenClaims: byUserinfo,
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: id, ...claims(id) }) }),
      features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
      pkce: { required: () => true },
      cookies: { keys: ['a key of cookies'] },
    });
    server.removeAllListeners('request');
    server.on('request', provider.callback());
  };
  start();
  return {
    issuer,
    rotate: start,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}

/**
 * Follows the provider's pages from `url` as a browser does, logs in as `name`, consents, and returns the final redirect,
 * which begins with `callback`.
 */
export async function walkThrough(url: string, name: string, callback: string): Promise<URL> {
  const cookies = new Map<string, string>();
  let next: { readonly url: string; readonly form?: URLSearchParams } = { url };
  for (let step = 0; step < 20; step += 1) {
    if (next.url.startsWith(callback)) return new URL(next.url);
    const response = await fetch(next.url, {
      redirect: 'manual',
      method: next.form === undefined ? 'GET' : 'POST',
      ...(next.form === undefined ? {} : { body: next.form }),
      headers: { cookie: [...cookies].map(([key, value]) => `${key}=${value}`).join('; ') },
    });
    for (const line of response.headers.getSetCookie()) {
      const [key, value] = line.split(';')[0]!.split(/=(.*)/s) as [string, string];
      if (value === '') cookies.delete(key);
      else cookies.set(key, value);
    }
    const location = response.headers.get('location');
    const body = await response.text();
    if (location !== null) {
      next = { url: new URL(location, next.url).href };
      continue;
    }
    const action = /<form[^>]*action="([^"]+)"/.exec(body)?.[1];
    const prompt = /name="prompt" value="(\w+)"/.exec(body)?.[1];
    if (action === undefined || prompt === undefined)
      throw new Error(`the provider says: ${response.status} ${body.replace(/<style.*<\/style>/s, '').slice(0, 2000)}`);
    next = { url: new URL(action, next.url).href, form: new URLSearchParams({ prompt, login: name, password: 'any' }) };
  }
  throw new Error('the provider goes round in circles');
}
