/**
 * Kubernetes clusters: registered by users who administer everything, listed for users whose roles permit them, and given
 * with their credential to gateways only.
 *
 * The upstream is sealed under a purpose that contains the cluster's name, so that one blob cannot replace another. Audit
 * rows name the address, never the credential. Tested in kube-clusters.test.ts.
 */
import { deleteKubeCluster, listKubeClusters, putKubeCluster, readKubeUpstream } from '#schemas/api/inventory/kube-clusters.js';
import { StenoError } from '#schemas/base/errors.js';
import { kubeUpstream } from '#schemas/kube/kube-cluster.js';
import { administersEverything } from '#schemas/policy/administration.js';
import { mayUseCluster } from '#schemas/policy/kubernetes.js';
import type { Sealer } from '../../ca/seal.js';
import type { Directory } from '../../directory/directory.js';
import { handle } from '../../http/server.js';
import type { Route } from '../../http/server.js';
import { auditRow } from '../../records/audit.js';
import { allKubeClusters, deleteKubeCluster as deleteRow, putKubeCluster as putRow, sealedUpstream } from '../../records/kube-clusters.js';
import type { Records } from '../../records/records.js';

export interface KubeClusterParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly sealer: Sealer;
  readonly clock: () => number;
  /** `host:port` at which users reach a gateway's Kubernetes listener. */
  readonly gateway: string | null;
}

const MAX_CLUSTERS = 1_000;

export function kubeClusterRoutes({ records, directory, sealer, clock, gateway }: KubeClusterParts): readonly Route[] {
  return [
    handle(listKubeClusters, async ({ principal }) => {
      if (principal.kind !== 'user') throw new StenoError('ACCESS_DENIED', 'this route is for users');
      const { identity, roles } = principal;
      const all = directory.current().kube_clusters;
      const subject = { user: identity.user, traits: identity.traits, roles };
      return { gateway, clusters: administersEverything(roles) ? all : all.filter((cluster) => mayUseCluster(subject, cluster)) };
    }),

    handle(putKubeCluster, async ({ caller, body }, { name }) => {
      const { labels, upstream } = body;
      const now = clock();
      const sealed = sealer.seal(purpose(name), Buffer.from(JSON.stringify(upstream)));
      const row = auditRow(now, caller, {
        event: 'kube_cluster.put',
        target: name,
        data: { labels, ...('node' in upstream ? { node: upstream.node } : { url: upstream.url }) },
      });
      let revision = 0;
      await records.act([row], async (tx) => {
        const known = await allKubeClusters(tx);
        if (known.length >= MAX_CLUSTERS && !known.some((one) => one.name === name))
          throw new StenoError('TOO_MANY', 'Kubernetes clusters');
        revision = await putRow(tx, { name, labels }, sealed, caller.actor, now);
      });
      await directory.changed();
      return { name, labels, revision };
    }),

    handle(deleteKubeCluster, async ({ caller }, { name }) => {
      await records.act([auditRow(clock(), caller, { event: 'kube_cluster.delete', target: name })], async (tx) => {
        if (!(await deleteRow(tx, name))) throw new StenoError('NOT_FOUND', `Kubernetes cluster ${name}`);
      });
      await directory.changed();
    }),

    handle(readKubeUpstream, async (_, { name }) => {
      const row = await records.read((db) => sealedUpstream(db, name));
      if (row === undefined) throw new StenoError('NOT_FOUND', `Kubernetes cluster ${name}`);
      const upstream = kubeUpstream.parse(JSON.parse(sealer.open(purpose(name), row.sealed).toString('utf8')));
      return { revision: row.revision, upstream };
    }),
  ];
}

function purpose(name: string): string {
  return `kube-cluster/${name}`;
}
