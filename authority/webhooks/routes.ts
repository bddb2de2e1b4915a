/** Webhooks over HTTP: their documents, for administrators, and what viewers relay of their answers. */
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { decodeBase64 } from '#schemas/ssh/base64.js';
import { webhookSchema } from '#schemas/documents/webhook.js';
import { auditRow } from '../records/audit.js';
import { noBody, route } from '../http/server.js';
import type { Route } from '../http/server.js';
import { takeAnswer } from './callbacks.js';
import type { CallbackParts } from './callbacks.js';
import { deleteWebhook, putWebhook, webhooksOf } from '../records/webhooks.js';

export const callbackHeaders = ['x-slack-request-timestamp', 'x-slack-signature', 'x-hub-signature', 'steno-signature'] as const;

const answerBody = z.strictObject({
  body: z.string().max(100_000),
  headers: z.strictObject(
    Object.fromEntries(callbackHeaders.map((name) => [name, z.string().max(512).optional()])) as Record<
      (typeof callbackHeaders)[number],
      z.ZodOptional<z.ZodString>
    >,
  ),
});

export function webhookRoutes(parts: CallbackParts): readonly Route[] {
  const { records, clock } = parts;
  return [
    route('GET /v1/webhooks', ['administer', 'request:read'], 'webhook.list', noBody, () => records.read(webhooksOf)),
    route('PUT /v1/webhooks/:name', ['administer'], 'webhook.put', webhookSchema, async ({ caller, body, params }) => {
      if (params['name'] !== body.name || !isName(body.name)) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      await records.act([auditRow(clock(), caller, { event: 'webhook.put', target: body.name, data: { webhook: body } })], (tx) =>
        putWebhook(tx, body, clock()),
      );
      return body;
    }),
    route('DELETE /v1/webhooks/:name', ['administer'], 'webhook.delete', noBody, async ({ caller, params }) => {
      const name = params['name'] ?? '';
      if (!isName(name)) throw new StenoError('BAD_REQUEST', 'name: is not a valid name');
      await records.act([auditRow(clock(), caller, { event: 'webhook.delete', target: name })], (tx) => deleteWebhook(tx, name));
    }),
    route('POST /v1/webhooks/:name/answer', ['viewer'], 'webhook.answer', answerBody, async ({ caller, behalf, params, body }) => {
      const bytes = decodeBase64(body.body);
      if (bytes === undefined) throw new StenoError('BAD_REQUEST', 'body: is not base64');
      const from = behalf({ actor: `webhook/${isName(params['name'] ?? '') ? params['name']! : '?'}`, source: caller.source });
      return takeAnswer(parts, params['name'] ?? '', { body: bytes, headers: body.headers }, from, behalf);
    }),
  ];
}
