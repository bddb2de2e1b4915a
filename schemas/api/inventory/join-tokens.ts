/** Tokens by which machines join: `steno tokens`. */
import { z } from 'zod';
import { gatewayAddress, labelPattern, nodeLabels, tokenId } from '../../join.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';

const info = {
  id: tokenId,
  labels: nodeLabels,
  /** Labels that nodes joining with the token may choose: keys, or prefixes of keys followed by `*`. */
  node_labels: z.array(labelPattern).readonly(),
  uses_left: z.int(),
  created_by: z.string(),
  /** ms since 1970. */
  created_at: z.int(),
  expires_at: z.int(),
};
const joinTokenInfo = z.strictObject(info).readonly();
export type JoinTokenInfo = z.output<typeof joinTokenInfo>;

const joinTokenCreated = z
  .strictObject({
    ...info,
    /** Shown only once. */
    token: z.string(),
    ca_pins: z.array(z.string()).readonly(),
    /** `host:port` of the existing tunnel listeners. */
    gateways: z.array(gatewayAddress).readonly(),
  })
  .readonly();
export type JoinTokenCreated = z.output<typeof joinTokenCreated>;

export const listJoinTokens = endpoint({
  method: 'GET',
  path: '/v1/tokens',
  summary: 'List valid join tokens.',
  admits: ['token:list'],
  event: 'token.list',
  params: noParams,
  body: noBody,
  answer: z.array(joinTokenInfo).readonly(),
  errors: [],
});

export const createJoinToken = endpoint({
  method: 'POST',
  path: '/v1/tokens',
  summary: 'Create a join token; only this answer contains its secret.',
  admits: ['token:create'],
  event: 'token.create',
  params: noParams,
  body: z.strictObject({
    ttl_ms: z
      .number()
      .int()
      .min(10_000)
      .max(7 * 86_400_000),
    uses: z.number().int().min(1).max(10_000),
    labels: nodeLabels,
    node_labels: z.array(labelPattern).max(64).readonly(),
  }),
  answer: joinTokenCreated,
  errors: ['POWER_LACKING', 'TOO_MANY'],
});

export const deleteJoinToken = endpoint({
  method: 'DELETE',
  path: '/v1/tokens/:id',
  summary: 'Delete a join token.',
  admits: ['token:delete'],
  event: 'token.delete',
  params: z.strictObject({ id: tokenId }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const joinTokenEndpoints = [listJoinTokens, createJoinToken, deleteJoinToken] as const;
