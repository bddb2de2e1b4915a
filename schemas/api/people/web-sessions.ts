/** Sessions of the page: one-time links, and the user to whom a cookie belongs. The token of a web session is sent in `WEB_SESSION_HEADER`. */
import { z } from 'zod';
import { emptyBody, endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, moment, record, textsMap, token } from '../../endpoint/fields.js';
import { roleSchema } from '../../policy/role.js';

export const webIdentity = record({
  token: z.string(),
  user: z.string(),
  traits: textsMap,
  roles: list(roleSchema),
  expires_at: moment,
  /** How it began: `link` (a one-time link), `local` (password or passkey) or the name of a connector. */
  via: z.string(),
  /** The device of the second factor. */
  mfa: z.string().nullable(),
  /** When it began; sensitive operations require a fresh session. */
  since: moment,
});
export type WebIdentity = z.output<typeof webIdentity>;

export const createSignInLink = endpoint({
  method: 'POST',
  path: '/v1/sign-in-link',
  summary: 'Create a one-time link into the page.',
  admits: ['owner', 'user'],
  event: 'sign_in_link.create',
  params: noParams,
  body: emptyBody,
  answer: record({ url_token: z.string(), expires_at: moment }),
  errors: [],
});

export const signIn = endpoint({
  method: 'POST',
  path: '/v1/sign-in',
  summary: 'Turn a one-time token into a web session.',
  admits: ['viewer'],
  event: 'web_session.start',
  params: noParams,
  body: z.strictObject({ token }),
  answer: webIdentity,
  errors: ['LINK_USED'],
});

export const showWebSession = endpoint({
  method: 'GET',
  path: '/v1/web-session',
  summary: 'Show whose web session it is.',
  admits: ['viewer'],
  event: 'web_session.use',
  params: noParams,
  body: noBody,
  answer: webIdentity,
  errors: [],
});

export const endWebSession = endpoint({
  method: 'DELETE',
  path: '/v1/web-session',
  summary: 'End a web session.',
  admits: ['viewer'],
  event: 'web_session.end',
  params: noParams,
  body: noBody,
  answer: noAnswer,
  errors: [],
});

export const webSessionEndpoints = [createSignInLink, signIn, showWebSession, endWebSession] as const;
