/** Trusted clusters in the state store. Tested in ../inventory/clusters/clusters.test.ts. */
import type { Kysely } from 'kysely';
import type { ClusterStatement, TrustedCluster } from '#schemas/documents/cluster.js';
import type { StateSchema } from '#stores/state/schema.js';
import type { Tx } from './records.js';

type Reader = Pick<Kysely<StateSchema>, 'selectFrom'>;

export async function trustedClusters(db: Reader): Promise<readonly TrustedCluster[]> {
  const rows = await db.selectFrom('trusted_clusters').select('document').orderBy('name').execute();
  return rows.map(({ document }) => JSON.parse(document) as TrustedCluster);
}

export async function putCluster(tx: Tx, cluster: TrustedCluster, by: string, now: number): Promise<void> {
  const document = JSON.stringify(cluster);
  await tx
    .insertInto('trusted_clusters')
    .values({ name: cluster.name, document, created_by: by, created_at: now, updated_at: now })
    .onConflict((on) => on.column('name').doUpdateSet({ document, updated_at: now }))
    .execute();
}

/** Returns whether it existed. */
export async function deleteCluster(tx: Tx, name: string): Promise<boolean> {
  const { numDeletedRows } = await tx.deleteFrom('trusted_clusters').where('name', '=', name).executeTakeFirst();
  return numDeletedRows > 0n;
}

export type OwnCluster = Pick<ClusterStatement, 'gateways' | 'updates'>;

/** Last output of `steno clusters export`; undefined if it was never run. */
export async function ownCluster(db: Reader): Promise<OwnCluster | undefined> {
  const row = await db.selectFrom('own_cluster').selectAll().where('id', '=', 1).executeTakeFirst();
  return row === undefined ? undefined : { gateways: JSON.parse(row.gateways) as string[], updates: row.updates };
}

export async function putOwnCluster(tx: Tx, { gateways, updates }: OwnCluster): Promise<void> {
  const columns = { gateways: JSON.stringify(gateways), updates };
  await tx
    .insertInto('own_cluster')
    .values({ id: 1, ...columns })
    .onConflict((on) => on.column('id').doUpdateSet(columns))
    .execute();
}
