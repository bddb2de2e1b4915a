/** What may be asked about bots: by administrators, and by bots themselves. */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isName, traitsSchema } from '#schemas/base/identity.js';
import { noBody, route } from '../../http/server.js';
import type { Route } from '../../http/server.js';
import { tokenPattern } from '../../records/tokens.js';
import type { PowerGuard } from '../../power/guard.js';
import { pathName } from '../users/routes.js';
import type { Bots } from './bots.js';

const name = z.string().max(63).refine(isName, 'is not a valid name');
const token = z.string().regex(tokenPattern, 'is not a token');
const ttl = z
  .number()
  .int()
  .min(60_000)
  .max(7 * 86_400_000)
  .default(3_600_000);
const keys = { tls_key: z.string().min(1).max(4096).optional() };
const withTtl = z.strictObject({ ttl });

export function botRoutes(bots: Bots, guard: PowerGuard): readonly Route[] {
  return [
    route('GET /v1/bots', ['bot:list'], 'bot.list', noBody, () => bots.list()),
    route(
      'POST /v1/bots',
      ['bot:create'],
      'bot.create',
      z.strictObject({ name, roles: z.array(name).min(1).max(64), traits: traitsSchema.default({}), ttl }),
      async (c) => bots.add(c.body.name, { roles: c.body.roles, traits: c.body.traits }, c.body.ttl, await guard.author(c)),
      (body) => body.name,
    ),
    route('POST /v1/bots/:name/token', ['bot:update'], 'bot_token.create', withTtl, async (c) =>
      bots.token(pathName(c.params['name']), c.body.ttl, await guard.author(c)),
    ),
    route('POST /v1/bots/:name/reset', ['bot:update'], 'bot.reset', withTtl, async (c) =>
      bots.reset(pathName(c.params['name']), c.body.ttl, await guard.author(c)),
    ),
    route(
      'POST /v1/bots/join',
      ['viewer'],
      'bot.join',
      z.strictObject({ token, public_key: z.string().min(1).max(16_384), ...keys }),
      ({ body, caller }) => bots.join({ ...body, tls_key: body.tls_key }, caller),
    ),
    route(
      'POST /v1/bots/renew',
      ['user'],
      'bot.renew',
      z.strictObject({ instance: name, generation: z.number().int().min(1).max(1e9), attempt: token, ...keys }),
      ({ body, principal, caller, headers }) => {
        if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED');
        return bots.renew({ ...body, tls_key: body.tls_key }, principal.identity.user, headers['authorization'] ?? '', caller);
      },
      (body) => body.instance,
    ),
  ];
}
