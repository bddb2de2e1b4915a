/** The routes of connectors: documents for administrators, and requests relayed by viewers. */
import {
  deleteConnector,
  listConnectors,
  putConnector,
  showConnector,
  showConnectorLogout,
  showConnectorMetadata,
  showConnectorUnasked,
} from '#schemas/api/people/connectors.js';
import { StenoError } from '#schemas/base/errors.js';
import { handle } from '../../http/server.js';
import type { Route } from '../../http/server.js';
import type { PowerGuard } from '../../power/guard.js';
import type { SsoConnectors } from './connectors.js';

export function connectorRoutes(connectors: SsoConnectors, guard: PowerGuard): readonly Route[] {
  return [
    handle(listConnectors, () => connectors.documents()),
    handle(showConnector, (_, { name }) => connectors.document(name)),
    handle(putConnector, async (c, { name }) => {
      if (name !== c.body.name) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      return connectors.put(c.body, await guard.author(c));
    }),
    handle(deleteConnector, (c, { name }) => connectors.remove(name, c.caller)),
    handle(showConnectorMetadata, async (_, { name }) => ({ xml: await connectors.metadata(name) })),
    handle(showConnectorUnasked, async (_, { name }) => ({ begin: await connectors.beginsUnasked(name) })),
    handle(showConnectorLogout, async (_, { name }) => ({ url: await connectors.logoutUrl(name) })),
  ];
}
