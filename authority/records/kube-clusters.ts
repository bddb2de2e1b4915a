/**
 * Kubernetes clusters in the state store, with their upstreams sealed. Tested in ../inventory/kube/kube-clusters.test.ts.
 */
import type { Kysely } from 'kysely';
import type { KubeClusterRecord } from '#schemas/kube/kube-cluster.js';
import type { StateSchema } from '#stores/state/schema.js';
import type { Tx } from './records.js';

type Reader = Pick<Kysely<StateSchema>, 'selectFrom'>;

export async function allKubeClusters(db: Reader): Promise<readonly KubeClusterRecord[]> {
  const rows = await db.selectFrom('kube_clusters').select(['name', 'labels', 'revision']).orderBy('name').execute();
  return rows.map(({ name, labels, revision }) => ({
    name,
    labels: JSON.parse(labels) as KubeClusterRecord['labels'],
    revision: Number(revision),
  }));
}

export async function sealedUpstream(
  db: Reader,
  name: string,
): Promise<{ readonly revision: number; readonly sealed: Uint8Array } | undefined> {
  const row = await db.selectFrom('kube_clusters').select(['revision', 'upstream_sealed']).where('name', '=', name).executeTakeFirst();
  return row === undefined ? undefined : { revision: Number(row.revision), sealed: row.upstream_sealed };
}

/** Returns the revision: never one that an earlier cluster of this name had, provided the clock advances. */
export async function putKubeCluster(
  tx: Tx,
  { name, labels }: Pick<KubeClusterRecord, 'name' | 'labels'>,
  sealed: Buffer,
  by: string,
  now: number,
): Promise<number> {
  const before = await sealedUpstream(tx, name);
  const revision = Math.max(now, (before?.revision ?? 0) + 1);
  const columns = { labels: JSON.stringify(labels), revision, upstream_sealed: sealed, updated_at: now };
  await tx
    .insertInto('kube_clusters')
    .values({ name, created_by: by, ...columns })
    .onConflict((on) => on.column('name').doUpdateSet(columns))
    .execute();
  return revision;
}

/** Returns whether it existed. */
export async function deleteKubeCluster(tx: Tx, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('kube_clusters').where('name', '=', name).executeTakeFirst();
  return numDeletedRows > 0n;
}
