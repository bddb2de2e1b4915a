/**
 * Dials a node of a trusted cluster through the first of that cluster's gateways that answers.
 *
 * The gateway is dialled as a stock client would, with `login@node` as user name and a certificate that is valid nowhere
 * else; it applies its own roles and makes its own recording. Its host certificate must be issued by its cluster's host CA
 * and carry the gateway marker, which no node there can have. Tested in test/end-to-end/clusters.test.ts.
 */
import type { RemoteNode } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { parseDialAddress } from '#schemas/base/host-port.js';
import { gatewayPrincipal } from '#schemas/base/identity.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { dial } from './dial.js';
import type { DialRequest } from './dial.js';
import type { Transport } from '../transport/transport.js';

/** Rejects as `dial` does, with NODE_UNREACHABLE when none of the gateways answers. */
export async function dialCluster(request: DialRequest, { cluster, inner, node }: RemoteNode): Promise<Transport> {
  const hostAuthorities = cluster.ssh_host_ca.map((line) => parseAuthorizedLine(line).blob);
  let failure = new StenoError('NODE_UNREACHABLE', `no gateway of cluster ${cluster.name} is known`);
  for (const address of cluster.gateways) {
    if (parseDialAddress(address) === undefined) continue;
    try {
      return await dial({
        ...request,
        node: { ...node, address },
        hostName: gatewayPrincipal(cluster.name),
        login: `${request.login}@${inner}`,
        hostAuthorities,
      });
    } catch (error) {
      if (!(error instanceof StenoError) || error.code !== 'NODE_UNREACHABLE' || request.signal.aborted) throw error;
      failure = error;
    }
  }
  throw failure;
}
