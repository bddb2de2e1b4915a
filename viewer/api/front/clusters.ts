/**
 * Requests from other clusters: for our statement, and signed questions, which the authority answers. Tested in
 * test/end-to-end/clusters.test.ts.
 */
import { askClusterNodes, showCluster } from '#schemas/api/front/clusters.js';
import { answerClusterNodes } from '#schemas/api/inventory/clusters.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { ViewerAuthority } from '../access/identity.js';
import { fromOtherSites, limited, sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';

const STATEMENTS = { address: 20 };
/** A user and their roles, as JSON within JSON, with signatures. */
const MAX_QUESTION = 128 * 1024;
const QUESTIONS = { all: 1_200 };

export function clusterRoutes(serving: Serving, authority: ViewerAuthority): void {
  serving.open(
    showCluster,
    async ({ reply }) => {
      void reply.header('cache-control', 'no-store');
      return authority.clusterStatement();
    },
    { onRequest: limited(serving.app, STATEMENTS) },
  );
  serving.open(
    askClusterNodes,
    ({ request, body }) => call(authority.relaying({ client: sourceAddress(request) }), answerClusterNodes, { body }),
    { bodyLimit: MAX_QUESTION, onRequest: limited(serving.app, QUESTIONS), config: fromOtherSites, passesBody: true },
  );
}
