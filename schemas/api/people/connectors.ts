/** Connectors of single sign-on, and the page's requests about them. */
import { z } from 'zod';
import { connectorSchema } from '../../documents/connector.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';
import { list, record } from '../../endpoint/fields.js';

/** Any text is accepted, so that an invalid name is answered like an unknown one. */
const params = z.strictObject({ name: z.string() });

export const listConnectors = endpoint({
  method: 'GET',
  path: '/v1/connectors',
  summary: 'List connectors; secrets are not shown.',
  admits: ['connector:list'],
  event: 'connector.list',
  params: noParams,
  body: noBody,
  answer: list(connectorSchema),
  errors: [],
});

export const showConnector = endpoint({
  method: 'GET',
  path: '/v1/connectors/:name',
  summary: 'Show a connector; its secret is not shown.',
  admits: ['connector:read'],
  event: 'connector.read',
  params,
  body: noBody,
  answer: connectorSchema,
  errors: ['CONNECTOR_UNKNOWN'],
});

export const putConnector = endpoint({
  method: 'PUT',
  path: '/v1/connectors/:name',
  summary: 'Create or replace a connector; an omitted secret stays unchanged.',
  admits: ['connector:create', 'connector:update'],
  event: 'connector.put',
  params,
  body: connectorSchema,
  answer: connectorSchema,
  errors: ['LOGIN_TOO_OLD', 'POWER_LACKING'],
});

export const deleteConnector = endpoint({
  method: 'DELETE',
  path: '/v1/connectors/:name',
  summary: 'Delete a connector; its users stay.',
  admits: ['connector:delete'],
  event: 'connector.delete',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['CONNECTOR_UNKNOWN'],
});

export const showConnectorMetadata = endpoint({
  method: 'GET',
  path: '/v1/connectors/:name/metadata',
  summary: 'Show the metadata that a SAML provider reads.',
  admits: ['viewer', 'connector:read'],
  event: 'connector.metadata',
  params,
  body: noBody,
  answer: record({ xml: z.string() }),
  errors: ['CONNECTOR_UNKNOWN'],
});

export const showConnectorUnasked = endpoint({
  method: 'GET',
  path: '/v1/connectors/:name/unasked',
  summary: 'Check whether an unsolicited answer begins a login.',
  admits: ['viewer'],
  event: 'connector.unasked',
  params,
  body: noBody,
  answer: record({ begin: z.boolean() }),
  errors: [],
});

export const showConnectorLogout = endpoint({
  method: 'GET',
  path: '/v1/connectors/:name/logout',
  summary: 'Show the address for also signing out of the provider; null if there is none.',
  admits: ['viewer'],
  event: 'connector.logout',
  params,
  body: noBody,
  answer: record({ url: z.string().nullable() }),
  errors: ['SSO_PROVIDER'],
});

export const connectorEndpoints = [
  listConnectors,
  showConnector,
  putConnector,
  deleteConnector,
  showConnectorMetadata,
  showConnectorUnasked,
  showConnectorLogout,
] as const;
