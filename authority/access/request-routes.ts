/** Access requests over HTTP: signed by the `steno` command, or relayed by a viewer for a web session. */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isLogin, isName } from '#schemas/base/identity.js';
import { noBody, route } from '../http/server.js';
import type { Context, Route } from '../http/server.js';
import type { Links } from '../web-sessions/web-sessions.js';
import { personOf } from '../web-sessions/person.js';
import { MAX_CARRIED } from './requests.js';
import type { Requests } from './requests.js';

const name = z.string().max(63).refine(isName, 'is not a valid name');
const login = z
  .string()
  .max(32)
  .refine((text) => isLogin(text), 'is not a valid login');
const distinct = (list: readonly string[]): boolean => new Set(list).size === list.length;
const reason = z.string().max(1024);
const createBody = z.strictObject({
  roles: z.array(name).max(16).refine(distinct, 'names something twice').default([]),
  nodes: z.array(name).max(64).refine(distinct, 'names something twice').default([]),
  logins: z.array(login).max(16).refine(distinct, 'names something twice').default([]),
  reason: reason.refine((text) => text.trim() !== '', 'say why'),
  duration: z
    .number()
    .int()
    .min(60_000)
    .max(30 * 86_400_000)
    .nullable()
    .default(null),
});
const reviewBody = z.strictObject({ decision: z.enum(['approve', 'deny']), reason: reason.default('') });
const cancelBody = z.strictObject({ reason: reason.default('') });
const certificateBody = z.strictObject({
  public_key: z.string().min(1).max(16_384),
  tls_key: z.string().min(1).max(4096).optional(),
  requests: z.array(name).max(MAX_CARRIED).refine(distinct, 'names something twice'),
});

export function requestRoutes({ requests, links }: { readonly requests: Requests; readonly links: Links }): readonly Route[] {
  const person = (context: Context<unknown>) => personOf(links, context);
  return [
    route('POST /v1/requests', ['user', 'viewer'], 'request.create', createBody, async (c) => {
      const { user, caller } = await person(c);
      return requests.create(user, c.body, caller);
    }),
    route('GET /v1/requests', ['user', 'viewer'], 'request.list', noBody, async (c) => requests.list((await person(c)).user)),
    route('GET /v1/request-options', ['user', 'viewer'], 'request.list', noBody, async (c) => requests.options((await person(c)).user)),
    route('GET /v1/requests/:name', ['user', 'viewer'], 'request.read', noBody, async (c) =>
      requests.show((await person(c)).user, idOf(c)),
    ),
    route('POST /v1/requests/:name/review', ['user', 'viewer'], 'request.review', reviewBody, async (c) => {
      const { user, caller, via } = await person(c);
      return requests.review(user, idOf(c), { ...c.body, via }, caller);
    }),
    route('POST /v1/requests/:name/cancel', ['user', 'viewer'], 'request.cancel', cancelBody, async (c) => {
      const { user, caller } = await person(c);
      return requests.cancel(user, idOf(c), c.body.reason, caller);
    }),
    route('POST /v1/request-certificate', ['user'], 'request.use', certificateBody, ({ principal, caller, body }) => {
      if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED');
      return requests.certificate(principal.identity, body.requests, body, caller);
    }),
  ];
}

function idOf({ params }: Context<unknown>): string {
  const id = params['name'] ?? '';
  if (!isName(id)) throw new StenoError('NOT_FOUND', 'access request');
  return id;
}
