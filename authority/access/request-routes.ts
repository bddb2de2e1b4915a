/** Access requests over HTTP: signed by the `steno` command, or relayed by a viewer for a web session. */
import {
  cancelRequest,
  createRequest,
  listRequestOptions,
  listRequests,
  reviewRequest,
  showRequest,
} from '#schemas/api/access/requests.js';
import { certifyRequests } from '#schemas/api/people/user-certificates.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { handle } from '../http/server.js';
import type { Context, Route } from '../http/server.js';
import type { Links } from '../web-sessions/web-sessions.js';
import { personOf } from '../web-sessions/person.js';
import type { Requests } from './requests.js';

export function requestRoutes({ requests, links }: { readonly requests: Requests; readonly links: Links }): readonly Route[] {
  const person = (context: Context<unknown>) => personOf(links, context);
  return [
    handle(createRequest, async (c) => {
      const { user, caller } = await person(c);
      return requests.create(user, c.body, caller);
    }),
    handle(listRequests, async (c) => requests.list((await person(c)).user)),
    handle(listRequestOptions, async (c) => requests.options((await person(c)).user)),
    handle(showRequest, async (c, { name }) => requests.show((await person(c)).user, idOf(name))),
    handle(reviewRequest, async (c, { name }) => {
      const { user, caller, via } = await person(c);
      return requests.review(user, idOf(name), { ...c.body, via }, caller);
    }),
    handle(cancelRequest, async (c, { name }) => {
      const { user, caller } = await person(c);
      return requests.cancel(user, idOf(name), c.body.reason, caller);
    }),
    handle(certifyRequests, ({ principal, caller, body }) => {
      if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED');
      return requests.certificate(principal.identity, body.requests, body, caller);
    }),
  ];
}

function idOf(text: string): string {
  if (!isName(text)) throw new StenoError('NOT_FOUND', 'access request');
  return text;
}
