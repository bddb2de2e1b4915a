/** Webhooks, for the verbs on resources. */
import { deleteWebhook, listWebhooks, putWebhook } from '#schemas/api/access/webhooks.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Webhook } from '#schemas/documents/webhook.js';
import { documentResources } from './documents.js';
import type { Resources } from './resource.js';

export const webhookResources: Resources = documentResources<'webhook', Webhook>({
  kind: 'webhook',
  also: ['webhooks'],
  noun: 'webhook',
  columns: [
    { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
    { title: 'FORMAT', value: ({ format }) => format },
    { title: 'TARGET', value: ({ url }) => (typeof url === 'string' ? url : 'file' in url ? `(file ${url.file})` : `(${url.env})`) },
    { title: 'USERS', value: ({ users }) => String(Object.keys(users).length) },
    { title: 'EVENTS', value: ({ events }) => events.join(',') },
  ],
  all: ({ authority }) => call(authority, listWebhooks, {}),
  put: ({ authority }, webhook) => call(authority, putWebhook, { params: { name: webhook.name }, body: webhook }),
  remove: ({ authority }, name) => call(authority, deleteWebhook, { params: { name } }),
});
