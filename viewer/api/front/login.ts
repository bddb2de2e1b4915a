/**
 * Logging in, enrolling and confirming, relayed to the authority: browsers and commands talk to this server only.
 *
 * The authority makes all decisions; this module handles the cookie, body limits, limits per address, and the client's address. A login
 * gives the browser a new session and ends its previous one (session fixation). A provider's callback is answered with a redirect to
 * one of our pages, with a code of the catalogue in the address and nothing else. Bodies are never logged. Tested in
 * test/end-to-end/users.test.ts.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { parse, serialize } from 'cookie';
import { z } from 'zod';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import {
  connectorParams,
  enrolByInvitation,
  logInBot,
  logInCommand,
  pollCommandLogin,
  signInWithConnector,
  signInWithPasskey,
  signInWithPassword,
} from '#schemas/api/front/sign-in.js';
import type { Me, PublicAddresses } from '#schemas/api/front/sign-in.js';
import { acceptInvitation } from '#schemas/api/people/account.js';
import { joinBot } from '#schemas/api/people/bots.js';
import {
  beginDeviceLogin,
  beginSingleSignOn,
  finishSingleSignOn,
  logInWithPasskey,
  logInWithPassword,
  parkSingleSignOn,
  pollDeviceLogin,
} from '#schemas/api/people/logins.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { meOf } from '../access/access.js';
import { fromOtherSites, limited, sourceAddress } from '../http/guard.js';
import type { Identities, ViewerAuthority } from '../access/identity.js';
import { parseInput } from '../http/query.js';
import type { Serving } from '../http/serve.js';
import { relayRoutes } from './relay.js';
import { unasked } from './sso.js';

export interface LoginRouteDeps {
  readonly authority: Pick<ViewerAuthority, 'relaying'>;
  readonly identities: Identities;
  readonly addresses: () => PublicAddresses;
}

/** An authenticator's answer, with some room. */
const MAX_BODY = 48 * 1024;
/** A signed SAML response, as a form. */
const MAX_FORM = 256 * 1024;
/** Logins and related requests, and polls by commands that wait for an approval. */
const LOGINS = { address: 60, all: 600 };
const POLLS = { address: 600 };
const BINDING = 'steno_login';
const BINDING_PATH = '/api/login/callback';
const BINDING_S = 600;

const connectorName = connectorParams.shape.name;
const fields = z.record(z.string().max(64), z.string().max(200_000));

export function loginRoutes(serving: Serving, { authority, identities, addresses }: LoginRouteDeps): void {
  const { app } = serving;
  const onRequest = limited(app, LOGINS);
  relayRoutes(app, { authority, secure: identities.secure, logins: onRequest });
  const by = (request: FastifyRequest): Send => authority.relaying({ client: sourceAddress(request) });
  /** Gives the browser its new session and ends the previous one. */
  const signedIn = async (request: FastifyRequest, reply: FastifyReply, web: WebIdentity): Promise<Me> => {
    await identities.signOut(request.headers.cookie, sourceAddress(request)).catch(() => undefined);
    const { identity, cookie } = identities.begin(web);
    void reply.header('set-cookie', cookie);
    return meOf(identity);
  };
  const login = { bodyLimit: MAX_BODY, onRequest, passesBody: true } as const;

  serving.open(
    signInWithPassword,
    async ({ request, reply, body }) => signedIn(request, reply, await call(by(request), logInWithPassword, { body })),
    login,
  );
  serving.open(
    signInWithPasskey,
    async ({ request, reply, body }) => signedIn(request, reply, await call(by(request), logInWithPasskey, { body })),
    login,
  );

  serving.open(
    signInWithConnector,
    async ({ request, reply, params, body }) => {
      const { url, binding } = await call(by(request), beginSingleSignOn, { params, body });
      // Lax, because the provider redirects the browser from another site. The cookie is sent to the callback only.
      void reply.header(
        'set-cookie',
        serialize(BINDING, binding, { httpOnly: true, sameSite: 'lax', path: BINDING_PATH, maxAge: BINDING_S, secure: identities.secure }),
      );
      return { url };
    },
    { onRequest, passesBody: true },
  );
  const back = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    try {
      const query = parseInput(fields, request.query);
      const binding = parse(request.headers.cookie ?? '')[BINDING] ?? '';
      const { identity, next } = await call(by(request), finishSingleSignOn, {
        params: { name: nameOf(request) },
        body: { state: cut(query['state']), binding: cut(binding), query },
      });
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
    scope.post(`${BINDING_PATH}/:name`, { bodyLimit: MAX_FORM, onRequest, config: fromOtherSites }, async (request, reply) => {
      try {
        const form = parseInput(fields, request.body);
        const state = cut(form['RelayState'] ?? form['state']);
        await call(by(request), parkSingleSignOn, { params: { name: nameOf(request) }, body: { state, form } });
        // A form from another site arrives without the cookie; the page to which this redirects gets it.
        return await reply.redirect(`${BINDING_PATH}/${nameOf(request)}?state=${state}`, 303);
      } catch (error) {
        const code = error instanceof StenoError ? error.code : 'INTERNAL';
        const begin = code === 'LOGIN_ATTEMPT_OVER' ? await unasked(authority, nameOf(request), sourceAddress(request)) : null;
        return reply.redirect(begin ?? `/sign-in?refused=${code}`, 303);
      }
    });
  });

  serving.open(
    logInCommand,
    async ({ request, body }) => {
      const { auth, ...rest } = parseInput(z.record(z.string(), z.unknown()), body) as typeof body;
      const begun = await call(by(request), beginDeviceLogin, { body: rest });
      const { web } = addresses();
      const more = auth === undefined || auth === 'local' ? '' : `&auth=${encodeURIComponent(parseInput(connectorName, auth))}`;
      return {
        ...begun,
        verification_uri: `${web}/login/device`,
        verification_uri_complete: `${web}/login/device?code=${begun.user_code}${more}`,
      };
    },
    login,
  );
  serving.open(
    pollCommandLogin,
    async ({ request, body }) => {
      const answer = await call(by(request), pollDeviceLogin, { body });
      return answer.state === 'approved' ? { ...answer, addresses: addresses() } : answer;
    },
    { onRequest: limited(app, POLLS), passesBody: true },
  );
  serving.open(logInBot, async ({ request, body }) => ({ ...(await call(by(request), joinBot, { body })), addresses: addresses() }), login);

  serving.open(
    enrolByInvitation,
    async ({ request, reply, body }) => {
      const { identity, recovery_codes } = await call(by(request), acceptInvitation, { body });
      return { me: await signedIn(request, reply, identity), recovery_codes };
    },
    login,
  );
}

/** A malformed token is passed on for the authority to refuse, which audits it. */
function cut(text: string | undefined): string {
  return (text ?? '').slice(0, 128);
}

function nameOf(request: FastifyRequest): string {
  return parseInput(connectorName, (request.params as { name?: unknown }).name);
}
