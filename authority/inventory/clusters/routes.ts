/** Routes about trusted clusters. Tested in clusters.test.ts. */
import {
  answerClusterNodes,
  exportCluster,
  listClusterNodes,
  listClusters,
  refreshCluster,
  showClusterStatement,
  trustCluster,
  untrustCluster,
} from '#schemas/api/inventory/clusters.js';
import { StenoError } from '#schemas/base/errors.js';
import { handle } from '../../http/server.js';
import type { Route } from '../../http/server.js';
import type { Clusters } from './clusters.js';
import { FarNodes } from './far-nodes.js';
import type { FarNodesParts } from './far-nodes.js';

export interface ClusterRouteParts extends FarNodesParts {
  readonly clusters: Clusters;
}

export function clusterRoutes(parts: ClusterRouteParts): readonly Route[] {
  const { clusters, directory } = parts;
  const farNodes = new FarNodes(parts);
  return [
    handle(listClusterNodes, async ({ principal }) => (principal.kind === 'user' ? farNodes.list(principal) : [])),
    handle(answerClusterNodes, ({ body }) => farNodes.answer(body)),
    handle(listClusters, async () => directory.current().clusters),
    handle(exportCluster, ({ caller, body }) => clusters.export(body, caller)),
    handle(showClusterStatement, async () => {
      const signed = await clusters.statement();
      if (signed === undefined) throw new StenoError('NOT_FOUND', 'this cluster was never exported');
      return signed;
    }),
    handle(trustCluster, ({ caller, body }, { name }) => clusters.trust(name, body, caller)),
    handle(refreshCluster, ({ caller }, { name }) => clusters.refresh(name, caller)),
    handle(untrustCluster, ({ caller }, { name }) => clusters.untrust(name, caller)),
  ];
}
