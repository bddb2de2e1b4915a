/** Webhooks, for the verbs on resources. They have no revisions: the last one applied counts. */
import { isDeepStrictEqual } from 'node:util';
import { stringify } from 'yaml';
import { deleteWebhook, listWebhooks, putWebhook } from '#schemas/api/access/webhooks.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import type { Webhook } from '#schemas/documents/webhook.js';
import { parseResource } from '#runtime/resources/document.js';
import type { Client } from '../client/client.js';
import { standardOutput, table } from '../terminal/output.js';
import type { AppliedResource, Resources } from './resource.js';

const all = (client: Client): Promise<readonly Webhook[]> => call(client.authority, listWebhooks, {});

export const webhookResources: Resources = {
  kind: 'webhook',
  also: ['webhooks'],
  async list(client) {
    table<Webhook>(standardOutput, await all(client), [
      { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
      { title: 'FORMAT', value: ({ format }) => format },
      { title: 'TARGET', value: ({ url }) => (typeof url === 'string' ? url : 'file' in url ? `(file ${url.file})` : `(${url.env})`) },
      { title: 'USERS', value: ({ users }) => String(Object.keys(users).length) },
      { title: 'EVENTS', value: ({ events }) => events.join(',') },
    ]);
  },
  values: all,
  async get(client, name) {
    const webhook = (await all(client)).find((known) => known.name === name);
    if (webhook === undefined) throw new StenoError('NOT_FOUND', `webhook ${name}`);
    return { name, revision: null, source: stringify(webhook), value: webhook, updatedAt: 0, updatedBy: '' };
  },
  async apply(client, given, check) {
    const known = await all(client);
    const results: AppliedResource[] = [];
    for (const { source } of given) {
      const { name, value } = parseResource(source, 'webhook');
      const before = known.find((one) => one.name === name);
      const same = before !== undefined && isDeepStrictEqual(before, value);
      if (value.kind !== 'webhook') throw new StenoError('USAGE', 'this is no webhook');
      if (!same && !check) await call(client.authority, putWebhook, { params: { name }, body: value });
      results.push({ name, outcome: before === undefined ? 'created' : same ? 'unchanged' : 'updated', from: null, to: null });
    }
    return results;
  },
  async remove(client, name) {
    await call(client.authority, deleteWebhook, { params: { name } });
  },
};
