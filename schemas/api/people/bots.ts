/** Bots: `steno bots`, by administrators and by bots themselves. */
import { z } from 'zod';
import { traitsSchema } from '../../base/identity.js';
import { certificateErrors, endpoint, noBody, noParams, signingErrors } from '../../endpoint/endpoint.js';
import { keyLine, list, moment, name, pem, record, texts, textsMap, token } from '../../endpoint/fields.js';
import { loginResult } from './user-certificates.js';
import { roleNames } from './users.js';

const botInfo = record({
  name: z.string(),
  roles: texts,
  traits: textsMap,
  created_at: moment,
  created_by: z.string(),
  disabled_at: moment.nullable(),
  instances: list(
    record({
      id: z.string(),
      generation: z.int(),
      joined_at: moment,
      renewed_at: moment,
      expires_at: moment,
      source: z.string(),
      stopped_at: moment.nullable(),
    }),
  ),
});
export type BotInfo = z.output<typeof botInfo>;

/** Shown once. */
const botToken = record({ bot: z.string(), token: z.string(), expires_at: moment });
export type BotToken = z.output<typeof botToken>;

/** A bot's identity after it joined or renewed. */
export const botLogin = record({ instance: z.string(), generation: z.int(), login: loginResult });
export type BotLogin = z.output<typeof botLogin>;

/** Lifetime of a token, in ms. */
const ttl = z
  .number()
  .int()
  .min(60_000)
  .max(7 * 86_400_000)
  .default(3_600_000);
const params = z.strictObject({ name });
const withTtl = z.strictObject({ ttl });
const loginErrors = ['REQUEST_OVER', 'REQUEST_STALE', 'NOT_FOUND', ...signingErrors] as const;

export const listBots = endpoint({
  method: 'GET',
  path: '/v1/bots',
  summary: 'List bots.',
  admits: ['bot:list'],
  event: 'bot.list',
  params: noParams,
  body: noBody,
  answer: list(botInfo),
  errors: [],
});

export const createBot = endpoint({
  method: 'POST',
  path: '/v1/bots',
  summary: 'Create a bot; only this answer contains the token of its first instance.',
  admits: ['bot:create'],
  event: 'bot.create',
  params: noParams,
  body: z.strictObject({ name, roles: roleNames, traits: traitsSchema.default({}), ttl }),
  answer: botToken,
  errors: ['USER_EXISTS', 'USER_NAME_USED', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const createBotToken = endpoint({
  method: 'POST',
  path: '/v1/bots/:name/token',
  summary: 'Create a token for one more instance of a bot.',
  admits: ['bot:update'],
  event: 'bot_token.create',
  params,
  body: withTtl,
  answer: botToken,
  errors: ['USER_UNKNOWN', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const resetBot = endpoint({
  method: 'POST',
  path: '/v1/bots/:name/reset',
  summary: 'Stop every instance of a bot and let one join again.',
  admits: ['bot:update'],
  event: 'bot.reset',
  params,
  body: withTtl,
  answer: botToken,
  errors: ['USER_UNKNOWN', 'LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const joinBot = endpoint({
  method: 'POST',
  path: '/v1/bots/join',
  summary: 'Join as an instance of a bot, by its token.',
  admits: ['viewer'],
  event: 'bot.join',
  params: noParams,
  body: z.strictObject({ token, public_key: keyLine, tls_key: pem.optional() }),
  answer: botLogin,
  errors: ['BOT_TOKEN_OVER', ...loginErrors],
});

export const renewBot = endpoint({
  method: 'POST',
  path: '/v1/bots/renew',
  summary: "Renew the calling bot's certificates, by a request signed with its key.",
  admits: ['user'],
  event: 'bot.renew',
  params: noParams,
  body: z.strictObject({ instance: name, generation: z.number().int().min(1).max(1e9), attempt: token, tls_key: pem.optional() }),
  answer: botLogin,
  errors: ['BOT_COPIED', ...loginErrors, ...certificateErrors],
});

export const botEndpoints = [listBots, createBot, createBotToken, resetBot, joinBot, renewBot] as const;
