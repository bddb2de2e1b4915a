/** Honey tokens. `steno honey add|ls|rm`. */
import { z } from 'zod';
import { honeyKinds, honeyText } from '../../documents/honey-token.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, moment, record } from '../../endpoint/fields.js';

const tokenId = z.string().regex(/^h-[0-9a-z]{10}$/, 'is not the id of a honey token');

const honeyToken = record({
  id: z.string(),
  kind: z.enum(honeyKinds),
  /** Describes where it is. */
  note: z.string(),
  /** A few characters of the token. */
  masked: z.string(),
  created_by: z.string(),
  created_at: moment,
});
export type HoneyToken = z.output<typeof honeyToken>;

export const listHoneyTokens = endpoint({
  method: 'GET',
  path: '/v1/honey-tokens',
  summary: 'List honey tokens, each with a few of its characters.',
  admits: ['rule:list'],
  event: 'honey.list',
  params: noParams,
  body: noBody,
  answer: list(honeyToken),
  errors: [],
});

export const addHoneyToken = endpoint({
  method: 'POST',
  path: '/v1/honey-tokens',
  summary: 'Watch for a text on screens, in commands, in files opened and in transfers. It is never shown again.',
  admits: ['rule:create'],
  event: 'honey.add',
  params: noParams,
  body: z.strictObject({ kind: z.enum(honeyKinds), text: honeyText, note: z.string().max(255) }),
  answer: honeyToken,
  errors: ['TOO_MANY'],
});

export const removeHoneyToken = endpoint({
  method: 'DELETE',
  path: '/v1/honey-tokens/:name',
  summary: 'Stop watching for a honey token.',
  admits: ['rule:delete'],
  event: 'honey.remove',
  params: z.strictObject({ name: tokenId }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const readHoneyTokens = endpoint({
  method: 'POST',
  path: '/v1/honey-set',
  summary: 'List every honey token with its text. `version` is that of the rules, which changes with any honey token.',
  admits: ['analyzer'],
  event: 'honey.read_set',
  params: noParams,
  body: noBody,
  answer: record({
    version: z.int(),
    tokens: list(record({ id: z.string(), kind: z.enum(honeyKinds), note: z.string(), text: z.string() })),
  }),
  errors: [],
});

export const honeyEndpoints = [listHoneyTokens, addHoneyToken, removeHoneyToken, readHoneyTokens] as const;
