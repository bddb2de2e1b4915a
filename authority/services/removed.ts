/** Keys of removed services, until no certificate of theirs can be valid. */
import type { Snapshot } from '#schemas/snapshot.js';
import type { Reader, Tx } from '../records/records.js';

export async function removedServices(db: Reader, now: number): Promise<Snapshot['removed_services']> {
  const rows = await db.selectFrom('removed_services').selectAll().where('until', '>', now).orderBy('key_hash').execute();
  return rows.map(({ key_hash: key, ...rest }) => ({ key, ...rest }));
}

/** `until`: expiry of its last certificate. */
export async function putRemovedService(tx: Tx, service: string, keyHash: string, until: number): Promise<void> {
  await tx
    .insertInto('removed_services')
    .values({ key_hash: keyHash, service, until })
    .onConflict((on) => on.column('key_hash').doUpdateSet({ service, until }))
    .execute();
}

/** The key has joined again. */
export async function deleteRemovedService(tx: Tx, keyHash: string): Promise<void> {
  await tx.deleteFrom('removed_services').where('key_hash', '=', keyHash).execute();
}

export async function purgeRemovedServices(tx: Tx, now: number): Promise<void> {
  await tx.deleteFrom('removed_services').where('until', '<=', now).execute();
}
