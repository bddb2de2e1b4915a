/** Everything the authority answers: the routes of each topic over the same parts. */
import { accessRoutes } from './access/access.js';
import type { AccessParts } from './access/access.js';
import { disclosureRoutes } from './audit/disclosures.js';
import { gatewayPrincipals } from './ca/certificates.js';
import { caRoutes } from './certificates/ca-routes.js';
import type { CaRouteParts } from './certificates/ca-routes.js';
import { certificateRoutes } from './certificates/routes.js';
import type { CertificateRouteParts } from './certificates/routes.js';
import { certifyService, keepHostKeys } from './certificates/services.js';
import type { Route } from './http/server.js';
import { clusterRoutes } from './inventory/clusters/routes.js';
import type { ClusterRouteParts } from './inventory/clusters/routes.js';
import { kubeClusterRoutes } from './inventory/kube/routes.js';
import type { KubeClusterParts } from './inventory/kube/routes.js';
import { nodeHostNames } from './inventory/nodes/joining.js';
import { nodeRoutes } from './inventory/nodes/routes.js';
import type { NodeRouteParts } from './inventory/nodes/routes.js';
import { peopleRoutes } from './people/people.js';
import type { PeopleParts } from './people/people.js';
import { ServiceJoining } from './services/joining.js';
import { serviceRoutes } from './services/routes.js';
import type { ServiceRouteParts } from './services/routes.js';
import { webSessionRoutes } from './web-sessions/routes.js';
import { webhookRoutes } from './webhooks/routes.js';
import type { CallbackParts } from './webhooks/callbacks.js';

export interface RouteParts
  extends
    AccessParts,
    CaRouteParts,
    CallbackParts,
    CertificateRouteParts,
    ClusterRouteParts,
    Omit<KubeClusterParts, 'gateway'>,
    Omit<NodeRouteParts, 'certify'>,
    PeopleParts,
    Omit<ServiceRouteParts, 'changed'> {
  /** `host:port` at which users reach a gateway's Kubernetes listener, or null. */
  readonly kube: string | null;
}

export function routeTable(parts: RouteParts): readonly Route[] {
  const { records, directory, links, clock } = parts;
  const joining = new ServiceJoining({
    records,
    clock,
    changed: () => directory.changed(),
    certify: (caller, event, request, more) =>
      certifyService(
        parts,
        caller,
        event,
        { kind: request.kind, name: request.name },
        request,
        request.kind === 'gateway' ? gatewayPrincipals(directory.current().cluster, request.host_names) : [],
        {
          data: more.data,
          also: async (tx) => {
            await more.also(tx);
            await keepHostKeys(tx, request);
          },
        },
      ),
  });
  return [
    ...accessRoutes(parts),
    ...caRoutes(parts),
    ...certificateRoutes(parts),
    ...clusterRoutes(parts),
    ...disclosureRoutes(parts),
    ...kubeClusterRoutes({ ...parts, gateway: parts.kube }),
    ...nodeRoutes({
      ...parts,
      certify: (caller, { event, node, service_key, host_key, data, also }) =>
        certifyService(parts, caller, event, { kind: 'agent', name: node }, { service_key, host_key }, nodeHostNames(node), { data, also }),
    }),
    ...peopleRoutes(parts),
    ...serviceRoutes({ ...parts, changed: () => directory.changed() }, joining),
    ...webhookRoutes(parts),
    ...webSessionRoutes(links),
  ];
}
