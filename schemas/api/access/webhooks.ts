/** Webhooks: documents of administrators, and answers to webhooks, as viewers received them. */
import { z } from 'zod';
import { requestView } from '../../documents/access-request.js';
import { webhookSchema } from '../../documents/webhook.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, name, record } from '../../endpoint/fields.js';

/** Headers of an answer that were signed or contain a signature; others are not passed on. */
export const callbackHeaders = ['x-slack-request-timestamp', 'x-slack-signature', 'x-hub-signature', 'steno-signature'] as const;
const header = z.string().max(512).optional();

export const listWebhooks = endpoint({
  method: 'GET',
  path: '/v1/webhooks',
  summary: 'List webhooks; secrets are named, not shown.',
  admits: ['administer', 'request:read'],
  event: 'webhook.list',
  params: noParams,
  body: noBody,
  answer: list(webhookSchema),
  errors: [],
});

export const putWebhook = endpoint({
  method: 'PUT',
  path: '/v1/webhooks/:name',
  summary: 'Put a webhook.',
  admits: ['administer'],
  event: 'webhook.put',
  params: z.strictObject({ name }),
  body: webhookSchema,
  answer: webhookSchema,
  errors: [],
});

export const deleteWebhook = endpoint({
  method: 'DELETE',
  path: '/v1/webhooks/:name',
  summary: 'Delete a webhook.',
  admits: ['administer'],
  event: 'webhook.delete',
  params: z.strictObject({ name }),
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const answerWebhook = endpoint({
  method: 'POST',
  path: '/v1/webhooks/:name/answer',
  summary: 'Take an answer of a webhook as received: its bytes in base64, and the headers with signatures.',
  admits: ['viewer'],
  event: 'webhook.answer',
  // Do not reveal which names exist: an impossible name is refused like an unknown one.
  params: z.strictObject({ name: z.string() }),
  body: z.strictObject({
    body: z.string().max(100_000),
    headers: z.strictObject({
      'x-slack-request-timestamp': header,
      'x-slack-signature': header,
      'x-hub-signature': header,
      'steno-signature': header,
    } satisfies Record<(typeof callbackHeaders)[number], typeof header>),
  }),
  /** Null: validly signed, but without a decision about a request. */
  answer: record({ request: requestView.nullable() }),
  errors: ['CALLBACK_REFUSED', 'SECRET_MISSING', 'NOT_FOUND', 'SELF_REVIEW', 'REQUEST_DECIDED', 'REQUEST_STALE', 'REVIEWED_ALREADY'],
});

export const webhookEndpoints = [listWebhooks, putWebhook, deleteWebhook, answerWebhook] as const;
