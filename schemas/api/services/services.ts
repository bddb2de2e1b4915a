/** Services that joined, and the tokens they join with: `steno services`, `steno tokens`. */
import { z } from 'zod';
import { endpoint, noAnswer, noBody, noParams, signingErrors } from '../../endpoint/endpoint.js';
import { name } from '../../endpoint/fields.js';
import { tokenId } from '../../join.js';
import { signedServiceJoin, signedServiceReturn, tokenKinds } from '../../service-join.js';
import { enrolment } from './certificates.js';

const kind = z.enum(tokenKinds);

const token = {
  id: tokenId,
  kind,
  /** The only name that may join with the token; null: any. */
  name: name.nullable(),
  uses_left: z.int(),
  created_by: z.string(),
  /** ms since 1970. */
  created_at: z.int(),
  expires_at: z.int(),
};
const serviceTokenInfo = z.strictObject(token).readonly();
export type ServiceTokenInfo = z.output<typeof serviceTokenInfo>;

const serviceTokenCreated = z
  .strictObject({
    ...token,
    /** Shown only once. */
    token: z.string(),
    ca_pins: z.array(z.string()).readonly(),
  })
  .readonly();
export type ServiceTokenCreated = z.output<typeof serviceTokenCreated>;

const joinedServiceInfo = z
  .strictObject({
    kind,
    name,
    /** ms since 1970. */
    joined_at: z.int(),
    /** When its key was revoked; null while it is valid. */
    removed_at: z.int().nullable(),
  })
  .readonly();
export type JoinedServiceInfo = z.output<typeof joinedServiceInfo>;

export const listServiceTokens = endpoint({
  method: 'GET',
  path: '/v1/service-tokens',
  summary: 'List valid tokens of services.',
  admits: ['owner', 'administer'],
  event: 'service_token.list',
  params: noParams,
  body: noBody,
  answer: z.array(serviceTokenInfo).readonly(),
  errors: [],
});

export const createServiceToken = endpoint({
  method: 'POST',
  path: '/v1/service-tokens',
  summary: 'Create a token for a service, of kind agent only as the owner of the machine; only this answer contains its secret.',
  admits: ['owner', 'administer'],
  event: 'service_token.create',
  params: noParams,
  body: z.strictObject({
    kind,
    name: name.nullable().default(null),
    ttl_ms: z.number().int().min(10_000).max(86_400_000),
    uses: z.number().int().min(1).max(100).default(1),
  }),
  answer: serviceTokenCreated,
  errors: ['TOO_MANY'],
});

export const deleteServiceToken = endpoint({
  method: 'DELETE',
  path: '/v1/service-tokens/:id',
  summary: 'Delete a token of services; services that joined with it stay.',
  admits: ['owner', 'administer'],
  event: 'service_token.delete',
  params: z.strictObject({ id: tokenId }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const listServices = endpoint({
  method: 'GET',
  path: '/v1/services',
  summary: 'List the joined services.',
  admits: ['owner', 'administer'],
  event: 'service.list',
  params: noParams,
  body: noBody,
  answer: z.array(joinedServiceInfo).readonly(),
  errors: [],
});

export const removeService = endpoint({
  method: 'DELETE',
  path: '/v1/services/:kind/:name',
  summary: 'Remove a service: its connections end at once, and its key is no longer accepted.',
  admits: ['owner', 'administer'],
  event: 'service.remove',
  params: z.strictObject({ kind, name }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

const joinErrors = ['SERVICE_JOIN_REFUSED', 'SIGNATURE_GARBLED', 'NODE_NAME_RESERVED', 'GATEWAY_NAME_TAKEN', ...signingErrors] as const;

export const joinService = endpoint({
  method: 'POST',
  path: '/v1/services/join',
  summary: 'Join as a service, by a token.',
  admits: ['stranger'],
  event: 'service.join',
  params: noParams,
  body: signedServiceJoin,
  answer: enrolment,
  errors: ['SERVICE_NAME_TAKEN', ...joinErrors],
});

export const returnService = endpoint({
  method: 'POST',
  path: '/v1/services/renew',
  summary: 'Renew the certificates of a joined service after they have expired.',
  admits: ['stranger'],
  event: 'service.renew',
  params: noParams,
  body: signedServiceReturn,
  answer: enrolment,
  errors: joinErrors,
});

export const setIngest = endpoint({
  method: 'PUT',
  path: '/v1/ingest',
  summary: 'Get the address of ingest.',
  admits: ['owner'],
  event: 'ingest.set',
  params: noParams,
  body: z.strictObject({
    url: z
      .string()
      .max(300)
      .regex(/^wss:\/\/[^\s/?#@]+(\/[^\s?#]*)?$/),
  }),
  answer: noAnswer,
  errors: [],
});

export const checkHealth = endpoint({
  method: 'GET',
  path: '/healthz',
  summary: 'Answer anybody: it also opens the connection that a request to join is signed for.',
  admits: ['stranger'],
  event: 'health',
  params: noParams,
  body: noBody,
  answer: noAnswer,
  errors: [],
});

export const serviceEndpoints = [
  listServiceTokens,
  createServiceToken,
  deleteServiceToken,
  listServices,
  removeService,
  joinService,
  returnService,
  setIngest,
  checkHealth,
] as const;
