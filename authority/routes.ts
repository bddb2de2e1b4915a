/** All routes of the authority, over the same parts. */
import type { ServiceReturn } from '#schemas/service-join.js';
import { accessRoutes } from './access/access.js';
import type { AccessParts } from './access/access.js';
import { caseRoutes } from './cases/routes.js';
import type { CaseRouteParts } from './cases/routes.js';
import { detectionRoutes } from './detection/routes.js';
import type { DetectionParts } from './detection/routes.js';
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
import { Terminals } from './web-sessions/terminals.js';
import { webhookRoutes } from './webhooks/routes.js';
import type { CallbackParts } from './webhooks/callbacks.js';

export interface RouteParts
  extends
    AccessParts,
    CaRouteParts,
    CaseRouteParts,
    CallbackParts,
    CertificateRouteParts,
    ClusterRouteParts,
    DetectionParts,
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
        hostNamesOf(request, directory.current().cluster),
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
    ...caseRoutes(parts),
    ...certificateRoutes(parts),
    ...clusterRoutes(parts),
    ...detectionRoutes(parts),
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
    ...webSessionRoutes(links, new Terminals(parts)),
  ];
}

/** This machine's node service covers its node and no further name; ingest and viewer have no host key. */
function hostNamesOf({ kind, name, host_names: more }: ServiceReturn, cluster: string): readonly string[] {
  if (kind === 'gateway') return gatewayPrincipals(cluster, more);
  return kind === 'agent' ? nodeHostNames(name) : [];
}
