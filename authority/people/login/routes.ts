/** The ways of logging in, which a viewer passes on for browsers and commands. */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isLogin, isName } from '#schemas/base/identity.js';
import { noBody, route } from '../../http/server.js';
import type { Context, Route } from '../../http/server.js';
import { tokenPattern } from '../../records/tokens.js';
import type { Links } from '../../web-sessions/web-sessions.js';
import { allowsPasskeys } from '../users/enrolment.js';
import type { Site, AuthenticationResponseJSON } from '../users/passkeys.js';
import { code, givenPassword, pathName } from '../users/routes.js';
import type { Connectors } from './connector.js';
import type { DeviceLogins } from './device-login.js';
import type { LocalLogin } from './local-login.js';
import type { SessionConfirmations } from './session-confirmations.js';
import type { SingleSignOn } from './single-sign-on.js';

export interface LoginRouteParts {
  readonly local: LocalLogin;
  readonly singleSignOn: SingleSignOn;
  readonly deviceLogins: DeviceLogins;
  readonly confirmations: SessionConfirmations;
  readonly connectors: Connectors;
  readonly links: Links;
  readonly site: Site;
}

const name = z.string().max(63).refine(isName, 'is not a valid name');
const token = z.string().regex(tokenPattern, 'is not a token');
/** As a browser brought it: anything that is not the token of an attempt is refused as none, and audited as that. */
const brought = z.string().max(128);
const base64url = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[A-Za-z0-9_-]*$/, 'is not base64url');
const fields = z.record(z.string().max(64), z.string().max(200_000)).refine((map) => Object.keys(map).length <= 32, 'are too many');
export const assertion = z
  .object({
    id: base64url(1400),
    rawId: base64url(1400),
    type: z.literal('public-key'),
    clientExtensionResults: z.object({}).default({}),
    response: z.object({
      clientDataJSON: base64url(4096),
      authenticatorData: base64url(2048),
      signature: base64url(2048),
      userHandle: base64url(128).optional(),
    }),
  })
  .transform((value) => value as unknown as AuthenticationResponseJSON);

const confirmationBody = z.strictObject({
  login: z.string().max(32).refine(isLogin, 'is not a valid login'),
  node: z.string().max(160),
  user_certificate: z.string().min(1).max(90_000),
  source_address: z.string().max(64),
});
const userCode = z.string().min(8).max(16);
/** What a command says of itself: printable, short, shown as text. */
const client = z
  .string()
  .max(100)
  .regex(/^[ -~]*$/, 'is not printable');

export function loginRoutes({
  local,
  singleSignOn,
  deviceLogins,
  confirmations,
  connectors,
  links,
  site,
}: LoginRouteParts): readonly Route[] {
  const who = ({ headers }: Pick<Context<unknown>, 'headers'>) => links.introspect(headers['x-steno-web-session'] ?? '');
  return [
    route('GET /v1/login/methods', ['viewer'], 'login.methods', noBody, async () => ({
      local: true,
      passkeys: allowsPasskeys(site),
      origin: site.origin,
      connectors: await connectors.list(),
    })),
    route(
      'POST /v1/login/local',
      ['viewer'],
      'user.login',
      z.strictObject({ user: z.string().min(1).max(63), password: givenPassword, code }),
      ({ body, caller }) => local.withPassword(body, caller),
      (body) => body.user,
    ),
    route('POST /v1/login/passkey-options', ['viewer'], 'user.login', noBody, () => local.passkeyOptions()),
    route('POST /v1/login/passkey', ['viewer'], 'user.login', z.strictObject({ response: assertion }), ({ body, caller }) =>
      local.withPasskey(body.response, caller),
    ),

    route('POST /v1/login/connectors/:name', ['viewer'], 'user.login', z.strictObject({ next: z.string().max(2048) }), ({ params, body }) =>
      singleSignOn.begin(pathName(params['name']), body.next),
    ),
    route('POST /v1/login/parked/:name', ['viewer'], 'user.login', z.strictObject({ state: brought, form: fields }), ({ params, body }) =>
      singleSignOn.park(pathName(params['name']), body.state, body.form),
    ),
    route(
      'POST /v1/login/callback/:name',
      ['viewer'],
      'user.login',
      z.strictObject({ state: brought, binding: brought, query: fields }),
      ({ params, body, caller }) => singleSignOn.finish(pathName(params['name']), body, caller),
    ),

    route(
      'POST /v1/login/device',
      ['viewer'],
      'device_login.begin',
      z.strictObject({
        public_key: z.string().min(1).max(16_384),
        tls_key: z.string().min(1).max(4096).optional(),
        client,
        user: name.optional(),
      }),
      ({ body, caller }) => deviceLogins.begin({ ...body, user: body.user, tls_key: body.tls_key }, caller),
    ),
    route('POST /v1/login/device/token', ['viewer'], 'user.login', z.strictObject({ device_code: token }), ({ body, caller }) =>
      deviceLogins.poll(body.device_code, caller),
    ),
    route(
      'POST /v1/login/device/facts',
      ['viewer'],
      'device_login.show',
      z.strictObject({ user_code: userCode }),
      async (c) => deviceLogins.facts(c.body.user_code, await who(c), c.caller),
      (body) => body.user_code,
    ),
    route(
      'POST /v1/login/device/decision',
      ['viewer'],
      'device_login.approve',
      z.strictObject({ user_code: userCode, approve: z.boolean() }),
      async (c) => deviceLogins.decide(c.body.user_code, c.body.approve, await who(c), c.caller),
      (body) => body.user_code,
    ),

    route(
      'POST /v1/session-confirmations',
      ['gateway'],
      'session_mfa.ask',
      confirmationBody,
      ({ principal, body }) => {
        if (principal.kind !== 'service') throw new StenoError('ACCESS_DENIED');
        return confirmations.begin(principal.service, body);
      },
      ({ node }) => node,
    ),
    route('POST /v1/session-confirmations/state', ['gateway'], 'session_mfa.ask', z.strictObject({ token }), ({ body }) =>
      confirmations.state(body.token),
    ),
    route('POST /v1/confirm/facts', ['viewer'], 'session_mfa.show', z.strictObject({ token }), async (c) =>
      confirmations.facts(c.body.token, await who(c), c.caller),
    ),
    route(
      'POST /v1/confirm/decision',
      ['viewer'],
      'session_mfa.approve',
      z.strictObject({ token, approve: z.boolean(), code: code.optional(), response: assertion.optional() }),
      async (c) => confirmations.decide(c.body.token, c.body.approve, c.body, await who(c), c.caller),
    ),
  ];
}
