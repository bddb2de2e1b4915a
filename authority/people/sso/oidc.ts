/**
 * OpenID Connect: authorization code with PKCE, state and nonce, over `openid-client`.
 *
 * Purpose of each check:
 * - `state` belongs to this browser's attempt (login/): no login CSRF, no second use.
 * - `iss` in the answer (RFC 9207), and discovery naming the expected issuer: no mix-up of providers.
 * - PKCE: a leaked code is useless elsewhere. `nonce`: a leaked token is useless here.
 * - The signature of the ID token is checked although TLS brought it, with the one algorithm the connector names, by a
 *   key fetched during this login: rotated keys are valid at once, withdrawn ones no longer.
 * - `iss`, `aud`, `azp`, `exp`, `iat` and `sub` (also of userinfo), with at most a minute between the clocks.
 *
 * Tested in oidc.test.ts with a real provider, and in oidc-hostile.test.ts with one that lies.
 */
import * as openid from 'openid-client';
import type { OidcConnector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import type { AttemptFacts, BrowserAnswer, LoginOutcome } from '../login/connector.js';
import { jsonClaims, mapClaims } from './mapping.js';
import { checkTarget, providerFetch } from './provider-http.js';
import type { SsoMemory } from './saml.js';

/** Clock skew allowed, in seconds. */
const SKEW_S = 60;
/** Maximum age in seconds of a token just obtained for a code. */
const FRESH_S = 600;
/** A provider's metadata is fetched again after this time. */
const METADATA_MS = 600_000;
const MAX_PROVIDERS = 64;

/** Cached provider metadata. Keys are not cached. */
export class ProviderMetadata {
  readonly #known = new Map<string, { readonly metadata: openid.ServerMetadata; readonly until: number }>();
  readonly #clock: () => number;

  constructor(clock: () => number) {
    this.#clock = clock;
  }

  async configure(connector: OidcConnector, secret: string | undefined): Promise<openid.Configuration> {
    const issuer = new URL(connector.issuer);
    const fetch = providerFetch(issuer, connector.tls_ca);
    const client: openid.ClientMetadata = {
      client_id: connector.client_id,
      id_token_signed_response_alg: connector.id_token_algorithm,
      [openid.clockTolerance]: SKEW_S,
      ...(connector.max_age === undefined ? {} : { require_auth_time: true }),
    };
    const insecure = issuer.protocol === 'http:' ? [openid.allowInsecureRequests] : [];
    const key = JSON.stringify([connector.issuer, connector.tls_ca ?? '']);
    const now = this.#clock();
    let found = this.#known.get(key);
    if (found === undefined || found.until <= now) {
      const discovered = await openid.discovery(issuer, connector.client_id, client, authentication(connector, secret), {
        execute: insecure,
        [openid.customFetch]: fetch,
      });
      const metadata = discovered.serverMetadata();
      for (const endpoint of [metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri]) {
        if (endpoint === undefined) throw new StenoError('SSO_PROVIDER', 'its discovery document lacks an endpoint');
        checkTarget(issuer, new URL(endpoint));
      }
      if (this.#known.size >= MAX_PROVIDERS) this.#known.clear();
      found = { metadata, until: now + METADATA_MS };
      this.#known.set(key, found);
    }
    const configuration = new openid.Configuration(found.metadata, connector.client_id, client, authentication(connector, secret));
    configuration[openid.customFetch] = fetch;
    openid.enableNonRepudiationChecks(configuration);
    if (issuer.protocol === 'http:') openid.allowInsecureRequests(configuration);
    return configuration;
  }
}

export async function beginOidc(
  connector: OidcConnector,
  secret: string | undefined,
  providers: ProviderMetadata,
  { state, callback }: AttemptFacts,
): Promise<{ readonly url: string; readonly kept: { readonly verifier: string; readonly nonce: string } }> {
  return refusing(async () => {
    const kept = { verifier: openid.randomPKCECodeVerifier(), nonce: openid.randomNonce() };
    const url = openid.buildAuthorizationUrl(await providers.configure(connector, secret), {
      redirect_uri: callback,
      scope: [...new Set(['openid', ...connector.scopes])].join(' '),
      state,
      nonce: kept.nonce,
      code_challenge: await openid.calculatePKCECodeChallenge(kept.verifier),
      code_challenge_method: 'S256',
      ...(connector.max_age === undefined ? {} : { max_age: String(connector.max_age) }),
      ...(connector.prompt === undefined ? {} : { prompt: connector.prompt }),
      ...(connector.acr_values === undefined ? {} : { acr_values: connector.acr_values.join(' ') }),
    });
    return { url: url.href, kept };
  });
}

/** Throws SSO_REFUSED, SSO_PROVIDER, SSO_NAME, SSO_NO_ROLE. */
export async function finishOidc(
  connector: OidcConnector,
  secret: string | undefined,
  providers: ProviderMetadata,
  answer: BrowserAnswer,
  kept: Readonly<Record<string, string>>,
  { state, callback }: AttemptFacts,
  memory: SsoMemory,
): Promise<LoginOutcome> {
  if (answer.method !== 'GET') throw new StenoError('SSO_REFUSED', 'this is no answer of OpenID Connect');
  const { verifier, nonce } = kept;
  // The library would not check for them if absent.
  if (verifier === undefined || nonce === undefined) throw new StenoError('SSO_REFUSED', 'this attempt was not begun with OpenID Connect');
  const { subject, idToken, claims } = await refusing(async () => {
    const configuration = await providers.configure(connector, secret);
    const url = new URL(callback);
    for (const [name, value] of Object.entries(answer.query)) url.searchParams.set(name, value);
    const tokens = await openid.authorizationCodeGrant(configuration, url, {
      pkceCodeVerifier: verifier,
      expectedNonce: nonce,
      expectedState: state,
      idTokenExpected: true,
      ...(connector.max_age === undefined ? {} : { maxAge: connector.max_age }),
    });
    const idToken = tokens.claims()!;
    if (idToken['azp'] !== undefined && idToken['azp'] !== connector.client_id)
      throw new StenoError('SSO_REFUSED', 'the ID token was issued to another party (azp)');
    if (typeof idToken.sub !== 'string' || idToken.sub === '' || idToken.sub.length > 255)
      throw new StenoError('SSO_REFUSED', 'the ID token has no usable sub');
    const age = Date.now() / 1000 - idToken.iat;
    if (age < -SKEW_S || age > FRESH_S)
      throw new StenoError('SSO_REFUSED', age < 0 ? 'the ID token is from the future (iat)' : 'the ID token is stale (iat)');
    const userinfo = connector.userinfo ? await openid.fetchUserInfo(configuration, tokens.access_token, idToken.sub) : {};
    // Signed statements take precedence over unsigned ones.
    return {
      subject: idToken.sub,
      idToken: idToken as Readonly<Record<string, unknown>>,
      claims: { ...userinfo, ...idToken } as Readonly<Record<string, unknown>>,
    };
  });
  const mapped = mapClaims(connector, jsonClaims(claims), {
    userClaim: 'preferred_username',
    emailVerified: claims['email_verified'] === true,
  });
  await memory.bindSubject(connector.name, `${connector.issuer} sub ${subject}`, mapped.user);
  return { ...mapped, mfa: confirmed(connector, idToken) ? `sso.${connector.name}` : null };
}

/** Where to send a browser to sign out of the provider too; null if the provider has no such page. */
export async function oidcLogoutUrl(
  connector: OidcConnector,
  secret: string | undefined,
  providers: ProviderMetadata,
  backTo: string,
): Promise<string | null> {
  return refusing(async () => {
    const configuration = await providers.configure(connector, secret);
    const { end_session_endpoint: endpoint } = configuration.serverMetadata();
    if (!connector.logout || endpoint === undefined) return null;
    checkTarget(new URL(connector.issuer), new URL(endpoint));
    return openid.buildEndSessionUrl(configuration, { post_logout_redirect_uri: backTo }).href;
  });
}

function confirmed({ trust_mfa: trust }: OidcConnector, idToken: Readonly<Record<string, unknown>>): boolean {
  if (trust === undefined) return false;
  const { amr, acr } = idToken;
  return (
    (Array.isArray(amr) && amr.some((method) => trust.amr.includes(method as string))) ||
    (typeof acr === 'string' && trust.acr.includes(acr))
  );
}

function authentication(connector: OidcConnector, secret: string | undefined): openid.ClientAuth {
  if (connector.client_auth === 'none') return openid.None();
  if (secret === undefined) throw new StenoError('SSO_PROVIDER', 'the connector has no client_secret');
  return connector.client_auth === 'post' ? openid.ClientSecretPost(secret) : openid.ClientSecretBasic(secret);
}

/**
 * Maps the library's errors to catalogued refusals. Its messages contain no secrets; they are cut, since a provider
 * influences them.
 */
async function refusing<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    for (let at: unknown = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1)
      if (at instanceof StenoError) throw at;
    if (error instanceof openid.AuthorizationResponseError)
      throw new StenoError('SSO_REFUSED', `the provider refused: ${plain(error.error)}`, { cause: error });
    if (error instanceof openid.ResponseBodyError) {
      // The code was used, is expired or was issued for another verifier.
      const code = error.error === 'invalid_grant' ? 'SSO_REFUSED' : 'SSO_PROVIDER';
      throw new StenoError(code, `the provider refused: ${plain(error.error)}`, { cause: error });
    }
    const { code, cause, message } = error as openid.ClientError;
    const provider =
      code === 'OAUTH_TIMEOUT' ||
      code === 'OAUTH_RESPONSE_IS_NOT_CONFORM' ||
      code === 'OAUTH_RESPONSE_IS_NOT_JSON' ||
      code === 'OAUTH_HTTP_REQUEST_FORBIDDEN';
    throw new StenoError(
      provider ? 'SSO_PROVIDER' : 'SSO_REFUSED',
      plain(cause instanceof Error ? `${message}: ${cause.message}` : message),
      { cause: error },
    );
  }
}

function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 300);
}
