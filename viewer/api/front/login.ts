/**
 * Logging in, enrolling and confirming, passed on to the authority: browsers and commands speak to this server only.
 *
 * The authority decides everything; here are the cookie, the bounds of a body, the limits per address, and whose
 * address it was. A login gives the browser a new session and ends the one it had (fixation). Answers to the callback
 * of a provider lead to a page of ours, with a code of the catalogue in the address and nothing else. Nothing of a body
 * is logged. Tested in test/end-to-end/users.test.ts.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { parse, serialize } from 'cookie';
import { z } from 'zod';
import type { DeviceLogin, DeviceLoginAnswer, DeviceLoginStart, Me, PublicAddresses, WebIdentity } from '#schemas/api.js';
import { StenoError } from '#schemas/base/errors.js';
import { meOf } from '../access/access.js';
import { limited, sourceAddress } from '../http/guard.js';
import { cookieToken } from '../access/identity.js';
import type { Identities } from '../access/identity.js';
import { parseInput } from '../http/query.js';
import { unasked } from './sso.js';

export interface RelayedCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path of the authority. */
  readonly target: string;
  readonly body?: unknown;
  /** Token of the browser's web session. */
  readonly session?: string;
  /** Address of who asked. */
  readonly client: string;
}

export interface LoginRelay {
  /** Rejects with the refusal of the authority. */
  relay(call: RelayedCall): Promise<unknown>;
}

export interface LoginRouteDeps {
  readonly authority: LoginRelay;
  readonly identities: Identities;
  readonly addresses: () => PublicAddresses;
}

/** An answer of an authenticator, with room. */
const MAX_BODY = 48 * 1024;
/** A signed SAML response, as a form. */
const MAX_FORM = 256 * 1024;
/** Logins and what belongs to them; and how often commands that wait for an approval may ask. */
const LOGINS = { address: 60, all: 600 };
const POLLS = { address: 600 };
const BINDING = 'steno_login';
const BINDING_PATH = '/api/login/callback';
const BINDING_S = 600;

const anyBody = z.record(z.string(), z.unknown());
const connectorName = z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'is not a name');
const fields = z.record(z.string().max(64), z.string().max(200_000));

export function loginRoutes(app: FastifyInstance, { authority, identities, addresses }: LoginRouteDeps): void {
  const onRequest = limited(app, LOGINS);
  const call = (
    request: FastifyRequest,
    method: RelayedCall['method'],
    target: string,
    body?: unknown,
    session?: string,
  ): Promise<unknown> =>
    authority.relay({
      method,
      target,
      client: sourceAddress(request),
      ...(body === undefined ? {} : { body }),
      ...(session === undefined ? {} : { session }),
    });
  const json = (request: FastifyRequest): Record<string, unknown> => parseInput(anyBody, request.body ?? {});
  const session = (request: FastifyRequest): string => {
    const token = cookieToken(request.headers.cookie, identities.secure);
    if (token === null) throw new StenoError('NOT_SIGNED_IN');
    return token;
  };
  /** The browser's new session, instead of the one it came with. */
  const signedIn = async (request: FastifyRequest, reply: FastifyReply, web: WebIdentity): Promise<Me> => {
    await identities.signOut(request.headers.cookie, sourceAddress(request)).catch(() => undefined);
    const { identity, cookie } = identities.begin(web);
    void reply.header('set-cookie', cookie);
    return meOf(identity);
  };
  const large = { bodyLimit: MAX_BODY };
  const login = { ...large, onRequest };

  app.get('/api/login/methods', (request) => call(request, 'GET', '/v1/login/methods'));
  for (const way of ['local', 'passkey'] as const) {
    app.post(`/api/login/${way}`, login, async (request, reply): Promise<Me> => {
      return signedIn(request, reply, (await call(request, 'POST', `/v1/login/${way}`, json(request))) as WebIdentity);
    });
  }
  app.post('/api/login/passkey-options', { onRequest }, (request) => call(request, 'POST', '/v1/login/passkey-options'));

  app.post('/api/login/connectors/:name', { onRequest }, async (request, reply) => {
    const { url, binding } = (await call(request, 'POST', `/v1/login/connectors/${nameOf(request)}`, json(request))) as {
      url: string;
      binding: string;
    };
    // Lax: the provider sends the browser back from another site. Only the callback ever sees it.
    void reply.header(
      'set-cookie',
      serialize(BINDING, binding, { httpOnly: true, sameSite: 'lax', path: BINDING_PATH, maxAge: BINDING_S, secure: identities.secure }),
    );
    return { url };
  });
  const back = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    try {
      const query = parseInput(fields, request.query);
      const binding = parse(request.headers.cookie ?? '')[BINDING] ?? '';
      const { identity, next } = (await call(request, 'POST', `/v1/login/callback/${nameOf(request)}`, {
        state: cut(query['state']),
        binding: cut(binding),
        query,
      })) as { identity: WebIdentity; next: string };
      await signedIn(request, reply, identity);
      return await reply.redirect(next, 303);
    } catch (error) {
      return reply.redirect(`/sign-in?refused=${error instanceof StenoError ? error.code : 'INTERNAL'}`, 303);
    }
  };
  app.get(`${BINDING_PATH}/:name`, back);
  void app.register(async (scope) => {
    scope.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string', bodyLimit: MAX_FORM }, (_request, body, done) => {
      done(null, Object.fromEntries(new URLSearchParams(body as string)));
    });
    scope.post(`${BINDING_PATH}/:name`, { bodyLimit: MAX_FORM, onRequest }, async (request, reply) => {
      try {
        const form = parseInput(fields, request.body);
        const given = cut(form['RelayState'] ?? form['state']);
        await call(request, 'POST', `/v1/login/parked/${nameOf(request)}`, { state: given, form });
        // A form from another site comes without the cookie; the page it leads to comes with it.
        return await reply.redirect(`${BINDING_PATH}/${nameOf(request)}?state=${given}`, 303);
      } catch (error) {
        const code = error instanceof StenoError ? error.code : 'INTERNAL';
        const begin = code === 'LOGIN_ATTEMPT_OVER' ? await unasked(authority, nameOf(request), sourceAddress(request)) : null;
        return reply.redirect(begin ?? `/sign-in?refused=${code}`, 303);
      }
    });
  });

  app.post('/api/login/device', login, async (request): Promise<DeviceLoginStart> => {
    const { auth, ...body } = json(request);
    const begun = (await call(request, 'POST', '/v1/login/device', body)) as DeviceLogin;
    const { web } = addresses();
    const more = auth === undefined || auth === 'local' ? '' : `&auth=${encodeURIComponent(parseInput(connectorName, auth))}`;
    return {
      ...begun,
      verification_uri: `${web}/login/device`,
      verification_uri_complete: `${web}/login/device?code=${begun.user_code}${more}`,
    };
  });
  app.post('/api/login/device/token', { onRequest: limited(app, POLLS) }, async (request) => {
    const answer = (await call(request, 'POST', '/v1/login/device/token', json(request))) as DeviceLoginAnswer;
    return answer.state === 'approved' ? { ...answer, addresses: addresses() } : answer;
  });
  for (const what of ['login/device/facts', 'login/device/decision', 'confirm/facts', 'confirm/decision']) {
    app.post(`/api/${what}`, login, (request) => call(request, 'POST', `/v1/${what}`, json(request), session(request)));
  }
  app.post('/api/login/bot', login, async (request) => {
    return { ...((await call(request, 'POST', '/v1/bots/join', json(request))) as object), addresses: addresses() };
  });

  for (const what of ['invitation', 'invitation/password', 'invitation/totp', 'invitation/passkey']) {
    app.post(`/api/${what}`, { onRequest }, (request) => call(request, 'POST', `/v1/${what}`, json(request)));
  }
  app.post('/api/invitation/accept', login, async (request, reply) => {
    const { identity, recovery_codes } = (await call(request, 'POST', '/v1/invitation/accept', json(request))) as {
      identity: WebIdentity;
      recovery_codes: readonly string[];
    };
    return { me: await signedIn(request, reply, identity), recovery_codes };
  });

  app.get('/api/account', (request) => call(request, 'GET', '/v1/account', undefined, session(request)));
  for (const what of ['totp', 'passkey', 'recovery-codes']) {
    app.post(`/api/account/${what}`, (request) => call(request, 'POST', `/v1/account/${what}`, undefined, session(request)));
  }
  app.post('/api/account/devices', large, (request) => call(request, 'POST', '/v1/account/devices', json(request), session(request)));
  app.delete('/api/account/devices/:name', (request) =>
    call(request, 'DELETE', `/v1/account/devices/${nameOf(request)}`, undefined, session(request)),
  );
  app.put('/api/account/password', (request) => call(request, 'PUT', '/v1/account/password', json(request), session(request)));
}

/** What is no token at all is for the authority to refuse, which tells the audit of it. */
function cut(text: string | undefined): string {
  return (text ?? '').slice(0, 128);
}

function nameOf(request: FastifyRequest): string {
  return parseInput(connectorName, (request.params as { name?: unknown }).name);
}
