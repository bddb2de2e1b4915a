/** Webhooks over HTTP: documents, for administrators, and callbacks relayed by viewers. */
import { answerWebhook, deleteWebhook, listWebhooks, putWebhook } from '#schemas/api/access/webhooks.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { decodeBase64 } from '#schemas/ssh/base64.js';
import { auditRow } from '../records/audit.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { takeAnswer } from './callbacks.js';
import type { CallbackParts } from './callbacks.js';
import { deleteWebhook as removeWebhook, putWebhook as writeWebhook, webhooksOf } from '../records/webhooks.js';

export function webhookRoutes(parts: CallbackParts): readonly Route[] {
  const { records, clock } = parts;
  return [
    handle(listWebhooks, () => records.read(webhooksOf)),
    handle(putWebhook, async ({ caller, body }, { name }) => {
      if (name !== body.name) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      await records.act([auditRow(clock(), caller, { event: 'webhook.put', target: body.name, data: { webhook: body } })], (tx) =>
        writeWebhook(tx, body, clock()),
      );
      return body;
    }),
    handle(deleteWebhook, async ({ caller }, { name }) => {
      await records.act([auditRow(clock(), caller, { event: 'webhook.delete', target: name })], (tx) => removeWebhook(tx, name));
    }),
    handle(answerWebhook, async ({ caller, behalf, body }, { name }) => {
      const bytes = decodeBase64(body.body);
      if (bytes === undefined) throw new StenoError('BAD_REQUEST', 'body: is not base64');
      const from = behalf({ actor: `webhook/${isName(name) ? name : '?'}`, source: caller.source });
      return takeAnswer(parts, name, { body: bytes, headers: body.headers }, from, behalf);
    }),
  ];
}
