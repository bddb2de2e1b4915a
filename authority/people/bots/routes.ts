/** The routes of bots: for administrators, and for bots themselves. */
import { createBot, createBotToken, joinBot, listBots, renewBot, resetBot } from '#schemas/api/people/bots.js';
import { StenoError } from '#schemas/base/errors.js';
import { handle } from '../../http/server.js';
import type { Route } from '../../http/server.js';
import type { PowerGuard } from '../../power/guard.js';
import type { Bots } from './bots.js';

export function botRoutes(bots: Bots, guard: PowerGuard): readonly Route[] {
  return [
    handle(listBots, () => bots.list()),
    handle(
      createBot,
      async (c) => bots.add(c.body.name, { roles: c.body.roles, traits: c.body.traits }, c.body.ttl, await guard.author(c)),
      (body) => body.name,
    ),
    handle(createBotToken, async (c, { name }) => bots.token(name, c.body.ttl, await guard.author(c))),
    handle(resetBot, async (c, { name }) => bots.reset(name, c.body.ttl, await guard.author(c))),
    handle(joinBot, ({ body, caller }) => bots.join({ ...body, tls_key: body.tls_key }, caller)),
    handle(
      renewBot,
      ({ body, principal, caller, headers }) => {
        if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED');
        return bots.renew({ ...body, tls_key: body.tls_key }, principal.identity.user, headers['authorization'] ?? '', caller);
      },
      (body) => body.instance,
    ),
  ];
}
