/** The ways of logging in, which viewers relay for browsers and commands. */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, noParams, relayedForLogins, signingErrors } from '../../endpoint/endpoint.js';
import { base64url, keyLine, list, moment, name, pem, record, texts, token } from '../../endpoint/fields.js';
import { MAX_PASSWORD } from './account.js';
import { loginResult } from './user-certificates.js';
import { webIdentity } from './web-sessions.js';

const loginMethods = record({
  local: z.boolean(),
  passkeys: z.boolean(),
  /** The origin of passkeys; a page at another address cannot use them. */
  origin: z.string(),
  connectors: list(record({ name: z.string(), label: z.string(), kind: z.enum(['oidc', 'saml']) })),
});

/** Start of a command's login through a browser, with the codes of RFC 8628; times in seconds. */
export const deviceLoginFields = {
  device_code: z.string(),
  user_code: z.string(),
  expires_in: z.int(),
  interval: z.int(),
};
export const deviceLogin = record(deviceLoginFields);
export type DeviceLogin = z.output<typeof deviceLogin>;

/** Facts shown to the approving user. `client` is the command's own description of itself. */
const deviceLoginFacts = record({
  user_code: z.string(),
  client: z.string(),
  source_address: z.string(),
  wanted_user: z.string().nullable(),
  created_at: moment,
  expires_at: moment,
  /** The user to be logged in, and what that grants; `max_ttl` in seconds. */
  user: z.string(),
  roles: texts,
  logins: texts,
  max_ttl: z.int(),
  browser_address: z.string(),
  /** Whether the sign-in of the browser is fresh enough to approve. */
  fresh: z.boolean(),
});
export type DeviceLoginFacts = z.output<typeof deviceLoginFacts>;

export const deviceLoginWaiting = record({ state: z.literal('waiting'), interval: z.int() });
export const approvedFields = { state: z.literal('approved'), login: loginResult };
const deviceLoginAnswer = z.discriminatedUnion('state', [deviceLoginWaiting, record(approvedFields)]);
export type DeviceLoginAnswer = z.output<typeof deviceLoginAnswer>;

/** A code of an authenticator app, or a recovery code. */
export const code = z.string().min(6).max(32);
/** `AuthenticationResponseJSON` (WebAuthn 3, 5.1.8): fields that a browser adds are dropped. */
export const assertion = z.object({
  id: base64url(1400),
  rawId: base64url(1400),
  type: z.literal('public-key'),
  clientExtensionResults: z.object({}).default({}),
  response: z.object({
    clientDataJSON: base64url(4096),
    authenticatorData: base64url(2048),
    signature: base64url(2048),
    userHandle: base64url(128).exactOptional(),
  }),
});
export type Assertion = z.output<typeof assertion>;

/** As the browser sent it: anything but the token of a login attempt is refused and audited as missing. */
const brought = z.string().max(128);
const fields = z.record(z.string().max(64), z.string().max(200_000)).refine((map) => Object.keys(map).length <= 32, 'are too many');
const userCode = z.string().min(8).max(16);
const named = z.strictObject({ name });
const ssoErrors = ['NOT_FOUND', 'SSO_PROVIDER', 'SSO_REFUSED'] as const;

export const listLoginMethods = endpoint({
  method: 'GET',
  path: '/v1/login/methods',
  summary: 'List the ways to log in.',
  admits: ['viewer'],
  relayed: { limited: false, session: false },
  event: 'login.methods',
  params: noParams,
  body: noBody,
  answer: loginMethods,
  errors: [],
});

export const logInWithPassword = endpoint({
  method: 'POST',
  path: '/v1/login/local',
  summary: 'Log in with a password and a code.',
  admits: ['viewer'],
  event: 'user.login',
  params: noParams,
  body: z.strictObject({
    user: z.string().min(1).max(63),
    /** Empty for a user without a password, who gives a recovery code. */
    password: z.string().max(MAX_PASSWORD),
    code,
  }),
  answer: webIdentity,
  errors: ['LOGIN_FAILED', 'LOGIN_BLOCKED'],
});

export const showPasskeyOptions = endpoint({
  method: 'POST',
  path: '/v1/login/passkey-options',
  summary: 'Begin to log in with a passkey.',
  admits: ['viewer'],
  relayed: relayedForLogins,
  event: 'user.login',
  params: noParams,
  body: noBody,
  /** `PublicKeyCredentialRequestOptionsJSON` (WebAuthn 3, 5.1.8), as the authority's library creates it. */
  answer: z.looseObject({ challenge: z.string() }),
  errors: ['PASSKEY_REFUSED'],
});

export const logInWithPasskey = endpoint({
  method: 'POST',
  path: '/v1/login/passkey',
  summary: 'Log in with a passkey.',
  admits: ['viewer'],
  event: 'user.login',
  params: noParams,
  body: z.strictObject({ response: assertion }),
  answer: webIdentity,
  errors: ['LOGIN_FAILED', 'LOGIN_BLOCKED'],
});

export const beginSingleSignOn = endpoint({
  method: 'POST',
  path: '/v1/login/connectors/:name',
  summary: 'Begin a login through a connector: the address for the browser, and the cookie that binds it.',
  admits: ['viewer'],
  event: 'user.login',
  params: named,
  body: z.strictObject({ next: z.string().max(2048) }),
  answer: record({ url: z.string(), binding: z.string() }),
  errors: ['TOO_MANY', ...ssoErrors],
});

export const parkSingleSignOn = endpoint({
  method: 'POST',
  path: '/v1/login/parked/:name',
  summary: 'Store an answer of a provider that arrived by form, without the cookie.',
  admits: ['viewer'],
  event: 'user.login',
  params: named,
  body: z.strictObject({ state: brought, form: fields }),
  answer: noAnswer,
  errors: ['LOGIN_ATTEMPT_OVER'],
});

export const finishSingleSignOn = endpoint({
  method: 'POST',
  path: '/v1/login/callback/:name',
  summary: "Finish a login by a provider's answer.",
  admits: ['viewer'],
  event: 'user.login',
  params: named,
  body: z.strictObject({ state: brought, binding: brought, query: fields }),
  answer: record({ identity: webIdentity, next: z.string() }),
  errors: ['LOGIN_ATTEMPT_OVER', 'LOGIN_FAILED', 'SSO_NAME', 'SSO_NO_ROLE', 'SSO_REPLAYED', 'USER_NAME_USED', ...ssoErrors],
});

export const beginDeviceLogin = endpoint({
  method: 'POST',
  path: '/v1/login/device',
  summary: 'Begin the login of a command, to be approved in a browser.',
  admits: ['viewer'],
  event: 'device_login.begin',
  params: noParams,
  body: z.strictObject({
    public_key: keyLine,
    tls_key: pem.optional(),
    /** The command's description of itself: printable, short, shown as text. */
    client: z
      .string()
      .max(100)
      .regex(/^[ -~]*$/, 'is not printable'),
    user: name.optional(),
  }),
  answer: deviceLogin,
  errors: ['KEY_GARBLED', 'TOO_MANY'],
});

export const pollDeviceLogin = endpoint({
  method: 'POST',
  path: '/v1/login/device/token',
  summary: 'Check whether the login of a command was approved.',
  admits: ['viewer'],
  event: 'user.login',
  params: noParams,
  body: z.strictObject({ device_code: token }),
  answer: deviceLoginAnswer,
  errors: ['LOGIN_ATTEMPT_OVER', 'LOGIN_DENIED', 'REQUEST_OVER', 'REQUEST_STALE', 'NOT_FOUND', ...signingErrors],
});

export const showDeviceLogin = endpoint({
  method: 'POST',
  path: '/v1/login/device/facts',
  summary: 'Show the login of a command to the user who is to approve it.',
  admits: ['viewer'],
  relayed: { session: true, limited: true, bodyLimit: 48 * 1024 },
  event: 'device_login.show',
  params: noParams,
  body: z.strictObject({ user_code: userCode }),
  answer: deviceLoginFacts,
  errors: ['LOGIN_CODE_UNKNOWN', 'LOGIN_BLOCKED'],
});

export const decideDeviceLogin = endpoint({
  method: 'POST',
  path: '/v1/login/device/decision',
  summary: 'Approve or deny the login of a command.',
  admits: ['viewer'],
  relayed: { session: true, limited: true, bodyLimit: 48 * 1024 },
  event: 'device_login.approve',
  params: noParams,
  body: z.strictObject({ user_code: userCode, approve: z.boolean() }),
  answer: noAnswer,
  errors: ['LOGIN_CODE_UNKNOWN', 'LOGIN_TOO_OLD'],
});

export const loginEndpoints = [
  listLoginMethods,
  logInWithPassword,
  showPasskeyOptions,
  logInWithPasskey,
  beginSingleSignOn,
  parkSingleSignOn,
  finishSingleSignOn,
  beginDeviceLogin,
  pollDeviceLogin,
  showDeviceLogin,
  decideDeviceLogin,
] as const;
