/** Rows of services that join: functions over a transaction. Tested in services.test.ts. */
import type { Kysely } from 'kysely';
import type { JoinedServiceInfo, ServiceTokenInfo } from '#schemas/api/services/services.js';
import type { TokenKind } from '#schemas/service-join.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import type { Tx } from '../records/records.js';

type TokenRow = Row<'service_tokens'>;

export async function insertServiceToken(tx: Tx, token: ServiceTokenInfo, publicKey: string): Promise<void> {
  await tx
    .insertInto('service_tokens')
    .values({ ...token, public_key: publicKey })
    .execute();
}

/** Tokens that are still valid. */
export async function liveServiceTokens(tx: Kysely<StateSchema>, now: number): Promise<readonly ServiceTokenInfo[]> {
  const rows = await tx
    .selectFrom('service_tokens')
    .selectAll()
    .where('expires_at', '>', now)
    .where('uses_left', '>', 0)
    .orderBy('created_at')
    .execute();
  return rows.map(tokenOf);
}

export async function serviceToken(tx: Tx, id: string): Promise<(ServiceTokenInfo & { readonly publicKey: string }) | undefined> {
  const row = await tx.selectFrom('service_tokens').selectAll().where('id', '=', id).executeTakeFirst();
  return row === undefined ? undefined : { ...tokenOf(row), publicKey: row.public_key };
}

export async function joinedService(tx: Kysely<StateSchema>, kind: TokenKind, name: string): Promise<Row<'joined_services'> | undefined> {
  return tx.selectFrom('joined_services').selectAll().where('kind', '=', kind).where('name', '=', name).executeTakeFirst();
}

export async function putJoinedService(tx: Tx, joined: Omit<Row<'joined_services'>, 'removed_at'>): Promise<void> {
  const { kind, name, ...rest } = joined;
  const columns = { ...rest, removed_at: null };
  await tx
    .insertInto('joined_services')
    .values({ kind, name, ...columns })
    .onConflict((on) => on.columns(['kind', 'name']).doUpdateSet(columns))
    .execute();
}

/** Returns the hash of its key; undefined if there is no such service, or it was removed before. */
export async function removeJoinedService(tx: Tx, kind: TokenKind, name: string, now: number): Promise<string | undefined> {
  const row = await tx
    .updateTable('joined_services')
    .set({ removed_at: now })
    .where('kind', '=', kind)
    .where('name', '=', name)
    .where('removed_at', 'is', null)
    .returning('key_hash')
    .executeTakeFirst();
  return row?.key_hash;
}

export async function joinedServices(tx: Kysely<StateSchema>): Promise<readonly JoinedServiceInfo[]> {
  const rows = await tx
    .selectFrom('joined_services')
    .select(['kind', 'name', 'joined_at', 'removed_at'])
    .orderBy('kind')
    .orderBy('name')
    .execute();
  return rows.map((row) => ({ ...row, kind: row.kind as TokenKind }));
}

function tokenOf({ public_key: _, ...row }: TokenRow): ServiceTokenInfo {
  return { ...row, kind: row.kind as TokenKind };
}
