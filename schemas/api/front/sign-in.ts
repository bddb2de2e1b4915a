/** Sign-in endpoints that viewers answer themselves: a login sets a cookie, and a command learns Steno's addresses. */
import { z } from 'zod';
import { anyQuery, noBody, noParams, viewerEndpoint } from '../../endpoint/endpoint.js';
import { record, texts } from '../../endpoint/fields.js';
import { acceptInvitation } from '../people/account.js';
import { botLogin, joinBot } from '../people/bots.js';
import {
  approvedFields,
  beginDeviceLogin,
  beginSingleSignOn,
  deviceLoginFields,
  deviceLoginWaiting,
  logInWithPasskey,
  logInWithPassword,
  pollDeviceLogin,
} from '../people/logins.js';

export const me = record({
  user: z.string(),
  roles: texts,
  /** `some`: it depends on the session. */
  view: z.enum(['all', 'own', 'some', 'none']),
  /** May read the audit log. */
  audit: z.boolean(),
  /** May see findings about sessions that they may view. */
  findings: z.boolean(),
  /** May triage findings. */
  triage: z.boolean(),
  /** May run SQL over the rows that they may see. */
  sql: z.boolean(),
  /** May read, open and change cases. */
  cases: record({ read: z.boolean(), create: z.boolean(), update: z.boolean() }),
  /** May write notes. */
  notes: z.boolean(),
  /** May save searches, and share them. */
  searches: record({ create: z.boolean(), share: z.boolean() }),
});
export type Me = z.output<typeof me>;

/** Addresses of this Steno, sent with a login through the viewer. */
const publicAddresses = record({
  /** `host:port` of the SSH gateway. */
  ssh: z.string(),
  web: z.string(),
  authority: z.string(),
});
export type PublicAddresses = z.output<typeof publicAddresses>;

/** The form for commands: with the addresses to open. */
const deviceLoginStart = record({
  ...deviceLoginFields,
  verification_uri: z.string(),
  verification_uri_complete: z.string(),
});
export type DeviceLoginStart = z.output<typeof deviceLoginStart>;

/** Names of connectors, bounded before they become part of a path. */
export const connectorParams = z.strictObject({ name: z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,62}$/, 'is not a name') });
const own = { admits: ['stranger'], params: noParams, query: anyQuery } as const;

export const showMe = viewerEndpoint({
  method: 'GET',
  path: '/api/me',
  summary: 'Show who the caller is.',
  admits: ['user'],
  params: noParams,
  query: anyQuery,
  body: noBody,
  answer: me,
  errors: [],
});

export const signInByLink = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/sign-in',
  summary: 'Sign in by a one-time link: the answer sets the cookie.',
  body: z.strictObject({
    token: z
      .string()
      .min(16)
      .max(512)
      .regex(/^[A-Za-z0-9_.~-]+$/),
  }),
  answer: me,
  errors: ['LINK_USED', 'TOO_MANY'],
});

export const signOut = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/sign-out',
  summary: 'Sign out. `next`: where the browser goes to sign out of the provider too.',
  body: noBody,
  answer: record({ next: z.string().nullable() }),
  errors: [],
});

export const signInWithPassword = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/login/local',
  summary: 'Sign in with a password and a code.',
  body: logInWithPassword.body,
  answer: me,
  errors: [...logInWithPassword.errors, 'TOO_MANY'],
});

export const signInWithPasskey = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/login/passkey',
  summary: 'Sign in with a passkey.',
  body: logInWithPasskey.body,
  answer: me,
  errors: [...logInWithPasskey.errors, 'TOO_MANY'],
});

export const signInWithConnector = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/login/connectors/:name',
  summary: 'Begin to sign in through a provider: the address for the browser.',
  params: connectorParams,
  body: beginSingleSignOn.body,
  answer: record({ url: z.string() }),
  errors: beginSingleSignOn.errors,
});

export const logInCommand = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/login/device',
  summary: 'Begin the login of a command, to be approved in a browser.',
  /** `auth`: the connector with which the browser must sign in. */
  body: beginDeviceLogin.body.extend({ auth: z.string().exactOptional() }),
  answer: deviceLoginStart,
  errors: beginDeviceLogin.errors,
});

export const pollCommandLogin = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/login/device/token',
  summary: 'Check whether the login of a command was approved.',
  body: pollDeviceLogin.body,
  answer: z.discriminatedUnion('state', [deviceLoginWaiting, record({ ...approvedFields, addresses: publicAddresses })]),
  errors: [...pollDeviceLogin.errors, 'TOO_MANY'],
});

export const logInBot = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/login/bot',
  summary: 'Join as an instance of a bot, by its token.',
  body: joinBot.body,
  answer: record({ ...botLogin.unwrap().shape, addresses: publicAddresses }),
  errors: [...joinBot.errors, 'TOO_MANY'],
});

export const enrolByInvitation = viewerEndpoint({
  ...own,
  method: 'POST',
  path: '/api/invitation/accept',
  summary: 'Accept an invitation: the answer signs in.',
  body: acceptInvitation.body,
  answer: record({ me, recovery_codes: texts }),
  errors: [...acceptInvitation.errors, 'TOO_MANY'],
});

export const showSamlMetadata = viewerEndpoint({
  ...own,
  method: 'GET',
  path: '/api/login/saml/:name/metadata',
  summary: 'Show the metadata that a SAML provider reads.',
  params: connectorParams,
  body: noBody,
  answer: z.string(),
  media: 'application/samlmetadata+xml',
  errors: ['CONNECTOR_UNKNOWN'],
});

export const signInEndpoints = [
  showMe,
  signInByLink,
  signOut,
  signInWithPassword,
  signInWithPasskey,
  signInWithConnector,
  logInCommand,
  pollCommandLogin,
  logInBot,
  enrolByInvitation,
  showSamlMetadata,
] as const;
