/** SIEM destinations in the state store: documents. Tested in ../../detection/siem.test.ts. */
import { createHash } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_SIEM_DESTINATIONS, siemSchema } from '#schemas/documents/siem.js';
import type { SiemDocument } from '#schemas/documents/siem.js';
import type { Reader, Tx } from '../records.js';

export async function siemDestinations(db: Reader): Promise<readonly SiemDocument[]> {
  const rows = await db.selectFrom('siem_destinations').selectAll().orderBy('name').execute();
  return rows.map(({ document }) => siemSchema.parse(JSON.parse(document)));
}

/** Equal as long as all documents are equal, and different otherwise. */
export async function siemSetDigest(db: Reader): Promise<string> {
  const rows = await db.selectFrom('siem_destinations').select('document').orderBy('name').execute();
  return createHash('sha256')
    .update(JSON.stringify(rows.map(({ document }) => document)))
    .digest('hex')
    .slice(0, 32);
}

/** Throws TOO_MANY. */
export async function putSiemDestination(tx: Tx, destination: SiemDocument, now: number): Promise<void> {
  const others = await tx.selectFrom('siem_destinations').select('name').where('name', '<>', destination.name).execute();
  if (others.length >= MAX_SIEM_DESTINATIONS) throw new StenoError('TOO_MANY', `${MAX_SIEM_DESTINATIONS} SIEM destinations`);
  const document = JSON.stringify(destination);
  await tx
    .insertInto('siem_destinations')
    .values({ name: destination.name, document, updated_at: now })
    .onConflict((on) => on.column('name').doUpdateSet({ document, updated_at: now }))
    .execute();
}

/** Throws NOT_FOUND. */
export async function deleteSiemDestination(tx: Tx, name: string): Promise<void> {
  const { numDeletedRows } = await tx.deleteFrom('siem_destinations').where('name', '=', name).executeTakeFirst();
  if (numDeletedRows === 0n) throw new StenoError('NOT_FOUND', `SIEM destination ${name}`);
}
