/** Connectors of single sign-on, for the verbs on resources. Secrets go to the authority and never come back. Tested in test/sso/sso.test.ts. */
import { readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { deleteConnector, listConnectors, putConnector, showConnector } from '#schemas/api/people/connectors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Connector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import { parseResource } from '#runtime/resources/document.js';
import type { Client } from '../client/client.js';
import { standardOutput, table } from '../terminal/output.js';
import type { AppliedResource, Resources } from './resource.js';

export function connectorResources(kind: Connector['kind']): Resources {
  const values = async (client: Client): Promise<readonly Connector[]> =>
    (await call(client.authority, listConnectors, {})).filter((one) => one.kind === kind);
  /** Throws CONNECTOR_UNKNOWN, also for one of the other kind. */
  const find = async (client: Client, name: string): Promise<Connector> => {
    const found = await call(client.authority, showConnector, { params: { name } });
    if (found.kind !== kind) throw new StenoError('CONNECTOR_UNKNOWN', `${name} is of kind ${found.kind}`);
    return found;
  };
  return {
    kind,
    also: [],
    async list(client) {
      table<Connector>(standardOutput, await values(client), [
        { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
        { title: 'PROVIDER', value: (one) => (one.kind === 'oidc' ? one.issuer : one.entity_id) },
        { title: 'ROLES', value: ({ claims_to_roles: rules }) => [...new Set(rules.flatMap(({ roles }) => roles))].join(',') },
        { title: 'SHOWN AS', value: ({ name, display }) => display ?? name },
      ]);
    },
    values,
    async get(client, name) {
      const value = await find(client, name);
      return { name, revision: null, source: stringify(value, { lineWidth: 0 }), value, updatedAt: 0, updatedBy: '' };
    },
    async apply(client, given, check) {
      const documents = given.map(({ source }) => documentOf(source));
      const results: AppliedResource[] = [];
      for (const document of documents) {
        const before = await call(client.authority, showConnector, { params: { name: document.name } }).catch((error: unknown) => {
          if (error instanceof StenoError && error.code === 'CONNECTOR_UNKNOWN') return undefined;
          throw error;
        });
        const outcome = before === undefined ? 'created' : same(before, document) ? 'unchanged' : 'updated';
        if (outcome !== 'unchanged' && !check)
          await call(client.authority, putConnector, { params: { name: document.name }, body: document });
        results.push({ name: document.name, outcome, from: null, to: null });
      }
      return results;
    },
    async remove(client, name) {
      await find(client, name);
      await call(client.authority, deleteConnector, { params: { name } });
    },
  };
}

/** With the secret of its file, which is looked for from where the command runs. */
function documentOf(source: string): Connector {
  const { value } = parseResource(source, 'document');
  if (value.kind === 'saml') return value;
  if (value.kind !== 'oidc') throw new StenoError('USAGE', 'this is no connector');
  const { client_secret_file: file, ...document } = value;
  if (file === undefined) return document;
  try {
    return { ...document, client_secret: readFileSync(file, 'utf8').replace(/\r?\n$/, '') };
  } catch (cause) {
    throw new StenoError('USAGE', `client_secret_file ${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** A document that brings a secret is never the same: the one that is kept cannot be compared. */
function same(before: Connector, after: Connector): boolean {
  const sorted = (value: unknown): string =>
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === 'object' && inner !== null && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    );
  return sorted(before) === sorted(after);
}
