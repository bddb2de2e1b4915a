/** What the authority does about trusted clusters, and for whom. Tested in clusters.test.ts. */
import { z } from 'zod';
import { clusterName, clusterStatement, roleMap, signedStatement } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { noBody, route } from '../../http/server.js';
import type { Route } from '../../http/server.js';
import type { Clusters } from './clusters.js';
import { FarNodes } from './far-nodes.js';
import type { FarNodesParts } from './far-nodes.js';

const exportBody = clusterStatement.pick({ gateways: true, updates: true });
const trustBody = z.strictObject({ signed: signedStatement, role_map: roleMap, reach: z.boolean() });

export function clusterRoutes(parts: FarNodesParts & { readonly clusters: Clusters }): readonly Route[] {
  const { clusters, directory } = parts;
  const farNodes = new FarNodes(parts);
  return [
    route('GET /v1/cluster-nodes', ['user'], 'cluster.nodes', noBody, async ({ principal }) =>
      principal.kind === 'user' ? farNodes.list(principal) : [],
    ),
    route('POST /v1/cluster-nodes', ['viewer'], 'cluster.nodes', signedStatement, ({ body }) => farNodes.answer(body)),
    route('GET /v1/clusters', ['cluster:list'], 'cluster.list', noBody, async () => directory.current().clusters),
    route('POST /v1/cluster-statement', ['cluster:update'], 'cluster.export', exportBody, ({ caller, body }) =>
      clusters.export(body, caller),
    ),
    route('GET /v1/cluster-statement', ['viewer'], 'cluster.statement', noBody, async () => {
      const signed = await clusters.statement();
      if (signed === undefined) throw new StenoError('NOT_FOUND', 'this cluster was never exported');
      return signed;
    }),
    route('PUT /v1/clusters/:name', ['administer'], 'cluster.trust', trustBody, ({ caller, body, params }) =>
      clusters.trust(named(params['name']), body, caller),
    ),
    route('POST /v1/clusters/:name/refresh', ['cluster:update'], 'cluster.update', noBody, ({ caller, params }) =>
      clusters.refresh(named(params['name']), caller),
    ),
    route('DELETE /v1/clusters/:name', ['cluster:delete'], 'cluster.untrust', noBody, ({ caller, params }) =>
      clusters.untrust(named(params['name']), caller),
    ),
  ];
}

function named(text: string | undefined): string {
  const parsed = clusterName.safeParse(text);
  if (!parsed.success) throw new StenoError('BAD_REQUEST', 'name: is not the name of a cluster');
  return parsed.data;
}
