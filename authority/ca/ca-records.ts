/** CA keys, rotations and the seal in the state store: data access without decisions. Tested in rotations.test.ts. */
import type { Kysely } from 'kysely';
import type { CaPhase } from '#schemas/api/services/ca.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import { transact } from '#stores/state/transaction.js';
import type { Tx } from '../records/records.js';
import { caNames } from './names.js';
import type { CaKey, CaState } from './ca.js';
import type { CaName } from './names.js';

export interface CaRotation {
  readonly name: CaName;
  readonly phase: CaPhase;
  /** Milliseconds since 1970, like all times here. */
  readonly changedAt: number;
  readonly changedBy: string;
  readonly switchedAt: number | null;
  readonly graceMs: number | null;
}

export interface SealRow {
  readonly kind: 'file' | 'passphrase';
  /** JSON. */
  readonly kdf: string;
  readonly wrapped: Uint8Array;
}

export async function caKeys(db: Kysely<StateSchema>): Promise<readonly CaKey[]> {
  const rows = await db.selectFrom('ca_keys').selectAll().orderBy('name').orderBy('generation').execute();
  return rows.flatMap((row) => (caNames.includes(row.name) ? [keyOf(row)] : []));
}

export async function caRotations(db: Kysely<StateSchema>): Promise<ReadonlyMap<CaName, CaRotation>> {
  const rows = await db.selectFrom('ca_rotations').selectAll().execute();
  return new Map(
    rows.map((row) => [
      row.name,
      {
        name: row.name,
        phase: row.phase,
        changedAt: row.changed_at,
        changedBy: row.changed_by,
        switchedAt: row.switched_at,
        graceMs: row.grace_ms,
      },
    ]),
  );
}

export async function caState(db: Kysely<StateSchema>): Promise<CaState> {
  // One transaction: a phase read before a change would not match keys read after it.
  return transact(db, async (tx) => {
    const rotations = await caRotations(tx);
    return { keys: await caKeys(tx), phases: new Map([...rotations.values()].map(({ name, phase }) => [name, phase])) };
  });
}

/** Keys stored by another process in the meantime are kept. */
export async function insertCaKeys(tx: Tx, keys: readonly CaKey[]): Promise<void> {
  await tx
    .insertInto('ca_keys')
    .values(
      keys.map((key) => ({
        name: key.name,
        generation: key.generation,
        state: key.state,
        signer: key.signer,
        public: key.public,
        private_sealed: key.sealed === null ? null : Buffer.from(key.sealed),
        created_at: key.createdAt,
        retired_at: key.retiredAt,
      })),
    )
    .onConflict((on) => on.columns(['name', 'generation']).doNothing())
    .execute();
}

/** `from` must be the phase in the store; false if it has changed. */
export async function putRotation(tx: Tx, from: CaPhase, to: CaRotation): Promise<boolean> {
  const columns = { phase: to.phase, changed_at: to.changedAt, changed_by: to.changedBy, switched_at: to.switchedAt, grace_ms: to.graceMs };
  await tx
    .insertInto('ca_rotations')
    .values({ name: to.name, ...columns, phase: 'standby', switched_at: null })
    .onConflict((on) => on.column('name').doNothing())
    .execute();
  const { numUpdatedRows } = await tx
    .updateTable('ca_rotations')
    .set(columns)
    .where('name', '=', to.name)
    .where('phase', '=', from)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/**
 * Retires the active key or the next one and deletes its private part for good. If the active key is retired, the next one
 * replaces it.
 */
export async function retireCaKey(tx: Tx, name: CaName, state: 'active' | 'next', now: number): Promise<void> {
  await tx
    .updateTable('ca_keys')
    .set({ state: 'retired', private_sealed: null, retired_at: now })
    .where('name', '=', name)
    .where('state', '=', state)
    .execute();
  if (state === 'active')
    await tx.updateTable('ca_keys').set({ state: 'active' }).where('name', '=', name).where('state', '=', 'next').execute();
}

export async function resealCaKey(tx: Tx, { name, generation }: CaKey, sealed: Uint8Array): Promise<void> {
  await tx
    .updateTable('ca_keys')
    .set({ private_sealed: Buffer.from(sealed) })
    .where('name', '=', name)
    .where('generation', '=', generation)
    .execute();
}

export async function sealRow(db: Kysely<StateSchema>): Promise<SealRow | undefined> {
  const row = await db.selectFrom('ca_seals').select(['kind', 'kdf', 'wrapped']).where('id', '=', 1).executeTakeFirst();
  return row;
}

/** False if one exists already. */
export async function insertSeal(tx: Tx, seal: SealRow, now: number): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('ca_seals')
    .values({ id: 1, ...seal, wrapped: Buffer.from(seal.wrapped), changed_at: now })
    .onConflict((on) => on.column('id').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

export async function replaceSeal(tx: Tx, seal: SealRow, now: number): Promise<void> {
  await tx
    .updateTable('ca_seals')
    .set({ ...seal, wrapped: Buffer.from(seal.wrapped), changed_at: now })
    .where('id', '=', 1)
    .execute();
}

/** When a certificate with this key id was last issued to the subject; null: never. */
export async function lastIssued(db: Kysely<StateSchema>, subject: string, keyId: string): Promise<number | null> {
  const row = await db
    .selectFrom('certificates')
    .select('issued_at')
    .where('user', '=', subject)
    .where('key_id', '=', keyId)
    .orderBy('issued_at', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.issued_at ?? null;
}

function keyOf(row: Row<'ca_keys'>): CaKey {
  return {
    name: row.name,
    generation: row.generation,
    state: row.state,
    signer: row.signer,
    public: row.public,
    sealed: row.private_sealed,
    createdAt: row.created_at,
    retiredAt: row.retired_at,
  };
}
