/** Keys of services that were removed, until no certificate of theirs can count any more. */
import type { Snapshot } from '#schemas/api.js';
import { SERVICE_TTL_MS } from '../ca/certificates.js';
import type { Reader, Tx } from './records.js';

/** For clocks that disagree. */
const MARGIN_MS = 600_000;

export async function removedServices(db: Reader, now: number): Promise<Snapshot['removed_services']> {
  const rows = await db.selectFrom('removed_services').selectAll().where('until', '>', now).orderBy('key_hash').execute();
  return rows.map(({ key_hash: key, service, until }) => ({ key, service, until: Number(until) }));
}

export async function putRemovedService(tx: Tx, service: string, keyHash: string, now: number): Promise<void> {
  const until = now + SERVICE_TTL_MS + MARGIN_MS;
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
