/**
 * Connectors, used assertions and bound names in the state store; data access only. Tested in
 * ../people/sso/connectors.test.ts.
 */
import { createHash } from 'node:crypto';
import type { Kysely } from 'kysely';
import { connectorSchema } from '#schemas/documents/connector.js';
import type { Connector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import type { StateSchema } from '#stores/state/schema.js';
import { isNameKept } from './names.js';
import type { Tx } from './records.js';

type Db = Kysely<StateSchema> | Tx;

export interface StoredConnector {
  /** Users who control its provider's statements and do not administer everything. */
  readonly handlers: readonly string[];
  /** Without secrets. */
  readonly document: Connector;
  readonly sealed: Uint8Array;
}

export async function listConnectors(db: Db): Promise<readonly Connector[]> {
  const rows = await db.selectFrom('connectors').select('document').orderBy('name').execute();
  return rows.map(({ document }) => connectorSchema.parse(JSON.parse(document)));
}

export async function findConnector(db: Db, name: string): Promise<StoredConnector | undefined> {
  const row = await db.selectFrom('connectors').selectAll().where('name', '=', name).executeTakeFirst();
  return row === undefined
    ? undefined
    : {
        document: connectorSchema.parse(JSON.parse(row.document)),
        sealed: row.secret_sealed,
        handlers: JSON.parse(row.handlers) as string[],
      };
}

export async function putConnector(tx: Tx, { document, sealed, handlers }: StoredConnector, now: number): Promise<void> {
  const columns = {
    document: JSON.stringify(document),
    secret_sealed: Buffer.from(sealed),
    handlers: JSON.stringify(handlers),
    updated_at: now,
  };
  await tx
    .insertInto('connectors')
    .values({ name: document.name, ...columns })
    .onConflict((on) => on.column('name').doUpdateSet(columns))
    .execute();
}

/** Also ends the web sessions that it began. Throws CONNECTOR_UNKNOWN. */
export async function deleteConnector(tx: Tx, name: string): Promise<void> {
  const { numDeletedRows } = await tx.deleteFrom('connectors').where('name', '=', name).executeTakeFirst();
  if (numDeletedRows === 0n) throw new StenoError('CONNECTOR_UNKNOWN', name);
  await tx.deleteFrom('web_sessions').where('via', '=', name).execute();
}

/** False if it was used before: of concurrent callers at any authority, one gets true. */
export async function takeAssertion(tx: Tx, connector: string, id: string, until: number): Promise<boolean> {
  const hash = createHash('sha256')
    .update(JSON.stringify([connector, id]))
    .digest('hex');
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('sso_assertions')
    .values({ hash, expires_at: until })
    .onConflict((on) => on.column('hash').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

/**
 * Binds the name and returns its holder; undefined if the name belonged to another user and is reserved. A binding outlives
 * its user, and can be replaced once the name was released.
 */
export async function bindSubject(
  tx: Tx,
  binding: { readonly user: string; readonly connector: string; readonly subject: string },
  now: number,
): Promise<{ readonly connector: string; readonly subject: string } | undefined> {
  const { user, connector, subject } = binding;
  const held = await tx.selectFrom('users').select('name').where('name', '=', user).executeTakeFirst();
  const kept = held === undefined && (await isNameKept(tx, user));
  const fresh = { connector, subject, bound_at: now };
  const insert = tx.insertInto('sso_subjects').values({ user, ...fresh });
  if (!kept)
    await (
      held === undefined
        ? insert.onConflict((on) => on.column('user').doUpdateSet(fresh))
        : insert.onConflict((on) => on.column('user').doNothing())
    ).execute();
  return tx.selectFrom('sso_subjects').select(['connector', 'subject']).where('user', '=', user).executeTakeFirst();
}
