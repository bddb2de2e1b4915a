/**
 * The authority's records in the state store.
 *
 * Every change goes through `act`, which writes the change and its audit rows in one transaction: no change without its row,
 * and no row without its change. Crash before the commit: neither happened. Crash after it: both did, although the caller
 * may not know. Secrets given to users (links, web sessions) are stored as SHA-256 only. Tested in ../app.test.ts.
 */
import type { Kysely, Transaction } from 'kysely';
import type { LockRecord } from '#schemas/api/access/locks.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { SessionNotice } from '#schemas/session-notice.js';
import { StenoError } from '#schemas/base/errors.js';
import { parseTraits } from '#schemas/base/identity.js';
import type { Traits } from '#schemas/base/identity.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import type { AuditRow } from '#schemas/events/rows.js';
import type { Row, StateSchema } from '#stores/state/schema.js';
import { pruneChanges } from '#stores/state/directory-changes.js';
import { transact } from '#stores/state/transaction.js';

/** A certificate about to be issued; the store assigns its serial. */
export interface NewCertificate {
  readonly kind: Row<'certificates'>['kind'];
  readonly keyId: string;
  /** The user, service or node that it is issued to. */
  readonly subject: string;
  readonly principals: readonly string[];
  /** Unix seconds. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
}

export interface WebSession {
  readonly user: string;
  readonly since: number;
  readonly expiresAt: number;
  readonly via: string;
  readonly mfa: string | null;
}

export type Tx = Transaction<StateSchema>;

/** Rows per INSERT: below every engine's limit of bound variables. */
const ROWS_PER_INSERT = 200;

export class Records {
  readonly #db: Kysely<StateSchema>;
  /** Called when a transaction has added rows to the outbox. */
  onAudit: (() => void) | undefined;

  constructor(db: Kysely<StateSchema>) {
    this.#db = db;
  }

  /** Runs `change` and writes `rows` in one transaction. */
  async act<T>(rows: readonly AuditRow[], change: (tx: Tx) => Promise<T>): Promise<T> {
    return this.actOn(async (tx) => ({ result: await change(tx), rows }));
  }

  /** Like `act`, if the rows are known only after the change. `change` may run more than once (`transact`). */
  async actOn<T>(change: (tx: Tx) => Promise<{ readonly result: T; readonly rows: readonly AuditRow[] }>): Promise<T> {
    const { result, rows } = await transact(this.#db, async (tx) => {
      const changed = await change(tx);
      await insertAudit(tx, changed.rows);
      return changed;
    });
    // Gateways report several times a second, and none of their reports has an audit row.
    if (rows.length > 0) this.onAudit?.();
    return result;
  }

  async audit(rows: readonly AuditRow[]): Promise<void> {
    if (rows.length > 0) await this.act(rows, async () => undefined);
  }

  /** For reads by modules that keep their own rows. */
  read<T>(ask: (db: Kysely<StateSchema>) => Promise<T>): Promise<T> {
    return ask(this.#db);
  }

  async user(
    name: string,
  ): Promise<{ readonly roles: readonly string[]; readonly traits: Traits; readonly disabled: boolean } | undefined> {
    const row = await this.#db.selectFrom('users').select(['roles', 'traits', 'disabled_at']).where('name', '=', name).executeTakeFirst();
    return row === undefined
      ? undefined
      : { roles: JSON.parse(row.roles) as string[], traits: parseTraits(row.traits) ?? {}, disabled: row.disabled_at !== null };
  }

  roles(): Promise<readonly Role[]> {
    return allRoles(this.#db);
  }

  nodes(): Promise<readonly NodeRecord[]> {
    return allNodes(this.#db);
  }

  /** Locks in force at `now`. */
  locks(now: number): Promise<readonly LockRecord[]> {
    return locksInForce(this.#db, now);
  }

  async webSession(hash: string, now: number): Promise<WebSession | undefined> {
    const row = await this.#db
      .selectFrom('web_sessions')
      .selectAll()
      .where('hash', '=', hash)
      .where('expires_at', '>', now)
      .executeTakeFirst();
    return row === undefined ? undefined : { user: row.user, since: row.created_at, expiresAt: row.expires_at, via: row.via, mfa: row.mfa };
  }

  /** Whether the nonce of a signed request is new; of concurrent callers, one gets true. */
  async claimNonce(nonce: string, expiresAt: number): Promise<boolean> {
    const { numInsertedOrUpdatedRows } = await this.#db
      .insertInto('request_nonces')
      .values({ nonce, expires_at: expiresAt })
      .onConflict((on) => on.column('nonce').doNothing())
      .executeTakeFirst();
    return numInsertedOrUpdatedRows === 1n;
  }

  /** The oldest audit rows that ingest has not acknowledged. */
  async outbox(limit: number): Promise<readonly { readonly id: string; readonly text: string }[]> {
    const rows = await this.#db.selectFrom('audit_outbox').select(['id', 'row']).orderBy('created_at').orderBy('id').limit(limit).execute();
    return rows.map(({ id, row }) => ({ id, text: row }));
  }

  async forget(ids: readonly string[]): Promise<void> {
    for (const part of chunks(ids)) await this.#db.deleteFrom('audit_outbox').where('id', 'in', part).execute();
  }

  /** Removes expired rows: links, web sessions, locks. Certificates are kept as the record of what was issued. */
  async purge(now: number): Promise<void> {
    await this.#db.deleteFrom('sign_in_links').where('expires_at', '<=', now).execute();
    await this.#db.deleteFrom('web_sessions').where('expires_at', '<=', now).execute();
    await this.#db.deleteFrom('locks').where('expires_at', '<=', now).execute();
    await this.#db
      .deleteFrom('lock_effects')
      .where('lock', 'not in', (of) => of.selectFrom('locks').select('id'))
      .execute();
    await this.#db.deleteFrom('sso_assertions').where('expires_at', '<=', now).execute();
    await this.#db.deleteFrom('request_nonces').where('expires_at', '<=', now).execute();
    await pruneChanges(this.#db);
  }

  close(): Promise<void> {
    return this.#db.destroy();
  }
}

/** An existing user keeps their roles. */
export async function ensureUser(tx: Tx, name: string, roles: readonly string[], now: number): Promise<void> {
  await tx
    .insertInto('users')
    .values({ name, roles: JSON.stringify(roles), created_at: now, disabled_at: null })
    .onConflict((on) => on.column('name').doNothing())
    .execute();
}

/** Returns their serials in the order given. `source`: the requester. */
export async function insertCertificates(
  tx: Tx,
  certificates: readonly NewCertificate[],
  source: string,
  now: number,
): Promise<readonly bigint[]> {
  const serials: number[] = [];
  for (const part of chunks(certificates)) {
    const rows = await tx
      .insertInto('certificates')
      .values(
        part.map((c) => ({
          kind: c.kind,
          key_id: c.keyId,
          user: c.subject,
          principals: JSON.stringify(c.principals),
          valid_after: Number(c.validAfter) * 1000,
          valid_before: Number(c.validBefore) * 1000,
          issued_at: now,
          source,
        })),
      )
      .returning('serial')
      .execute();
    // RETURNING guarantees no order; serials increase in the order of VALUES.
    serials.push(...rows.map(({ serial }) => serial).sort((a, b) => a - b));
  }
  return serials.map((serial) => BigInt(serial));
}

/** Stores which key signs a gateway's recordings. */
export async function putGateway(tx: Tx, name: string, recordingKey: string, now: number): Promise<void> {
  await tx
    .insertInto('gateways')
    .values({ name, recording_key: recordingKey, created_at: now, last_counter: 0 })
    .onConflict((on) =>
      on.column('name').doUpdateSet((row) => ({
        recording_key: recordingKey,
        // Time since it has had this key.
        created_at: row.case().when('gateways.recording_key', '=', recordingKey).then(row.ref('gateways.created_at')).else(now).end(),
      })),
    )
    .execute();
}

/** Since when the gateway has had this key; undefined if it does not. */
export async function gatewaySince(db: Kysely<StateSchema>, name: string, recordingKey: string): Promise<number | undefined> {
  const row = await db
    .selectFrom('gateways')
    .select('created_at')
    .where('name', '=', name)
    .where('recording_key', '=', recordingKey)
    .executeTakeFirst();
  return row?.created_at;
}

export async function ensureRole(tx: Tx, role: Role, now: number): Promise<void> {
  await tx
    .insertInto('roles')
    .values({ name: role.name, document: JSON.stringify(role), updated_at: now })
    .onConflict((on) => on.column('name').doNothing())
    .execute();
}

export async function nodeNamed(tx: Tx, name: string): Promise<NodeRecord | undefined> {
  const row = await nodeRows(tx).where('nodes.name', '=', name).executeTakeFirst();
  return row === undefined ? undefined : nodeOf(row);
}

export async function putLock(tx: Tx, lock: Lock, by: string, now: number): Promise<void> {
  const columns = { target_kind: lock.target_kind, target: lock.target, reason: lock.reason, expires_at: lock.expires_at };
  const before = await lockNamed(tx, lock.id);
  // Gateways' reports were about the previous lock.
  if (JSON.stringify(before) !== JSON.stringify({ id: lock.id, ...columns })) await forgetEffects(tx, lock.id);
  await tx
    .insertInto('locks')
    .values({ id: lock.id, created_at: now, created_by: by, ...columns })
    .onConflict((on) => on.column('id').doUpdateSet(columns))
    .execute();
}

/** Whether this response was not taken before; of concurrent callers, one gets true. */
export async function claimResponse(tx: Tx, key: string, expiresAt: number): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('request_nonces')
    .values({ nonce: `response ${key}`, expires_at: expiresAt })
    .onConflict((on) => on.column('nonce').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

export async function lockNamed(tx: Tx, id: string): Promise<Lock | undefined> {
  return tx.selectFrom('locks').select(['id', 'target_kind', 'target', 'reason', 'expires_at']).where('id', '=', id).executeTakeFirst();
}

export async function deleteLock(tx: Tx, id: string): Promise<void> {
  const { numDeletedRows } = await tx.deleteFrom('locks').where('id', '=', id).executeTakeFirst();
  if (numDeletedRows === 0n) throw new StenoError('NOT_FOUND', `lock ${id}`);
  await forgetEffects(tx, id);
}

async function forgetEffects(tx: Tx, lock: string): Promise<void> {
  await tx.deleteFrom('lock_effects').where('lock', '=', lock).execute();
}

/** `session`: properties that the web session inherits from the requesting certificate; empty for the machine's owner. */
export async function insertLink(
  tx: Tx,
  hash: string,
  user: string,
  expiresAt: number,
  session: { readonly until: number | null; readonly mfa: string | null },
): Promise<void> {
  await tx
    .insertInto('sign_in_links')
    .values({ hash, user, expires_at: expiresAt, used_at: null, session_until: session.until, mfa: session.mfa })
    .execute();
}

/** Consumes the link: of concurrent callers, one gets it. */
export async function takeLink(
  tx: Tx,
  hash: string,
  now: number,
): Promise<{ readonly user: string; readonly until: number | null; readonly mfa: string | null } | undefined> {
  const row = await tx
    .updateTable('sign_in_links')
    .set({ used_at: now })
    .where('hash', '=', hash)
    .where('used_at', 'is', null)
    .where('expires_at', '>', now)
    .returning(['user', 'session_until', 'mfa'])
    .executeTakeFirst();
  return row === undefined ? undefined : { user: row.user, until: row.session_until, mfa: row.mfa };
}

export async function insertWebSession(tx: Tx, hash: string, session: WebSession): Promise<void> {
  await tx
    .insertInto('web_sessions')
    .values({ hash, user: session.user, created_at: session.since, expires_at: session.expiresAt, via: session.via, mfa: session.mfa })
    .execute();
}

export async function deleteWebSession(tx: Tx, hash: string): Promise<void> {
  await tx.deleteFrom('web_sessions').where('hash', '=', hash).execute();
}

/** Consumes a web session's freshness: of concurrent callers one gets true, and none after it. */
export async function spendFreshness(tx: Tx, hash: string, since: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('web_sessions')
    .set({ created_at: 0 })
    .where('hash', '=', hash)
    .where('created_at', '>=', since)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

async function insertAudit(tx: Tx, rows: readonly AuditRow[]): Promise<void> {
  for (const part of chunks(rows)) {
    await tx
      .insertInto('audit_outbox')
      .values(part.map((row) => ({ id: row.id, row: JSON.stringify(row), created_at: row.at })))
      .execute();
  }
}

export type Reader = Kysely<StateSchema> | Tx;

/** Consistent reads: from one moment, and never a reason for another transaction to fail. */
export function readTogether<T>(db: Kysely<StateSchema>, read: (tx: Tx) => Promise<T>): Promise<T> {
  return db.transaction().setIsolationLevel('repeatable read').execute(read);
}

export async function allRoles(db: Reader): Promise<readonly Role[]> {
  return (await db.selectFrom('roles').select('document').orderBy('name').execute()).map(roleOf);
}

export async function rolesNamed(db: Reader, names: readonly string[]): Promise<readonly Role[]> {
  const roles: Role[] = [];
  for (const part of chunks(names))
    roles.push(...(await db.selectFrom('roles').select('document').where('name', 'in', part).execute()).map(roleOf));
  return roles;
}

export async function allNodes(db: Reader): Promise<readonly NodeRecord[]> {
  return (await nodeRows(db).orderBy('name').execute()).map(nodeOf);
}

export async function nodesNamed(db: Reader, names: readonly string[]): Promise<readonly NodeRecord[]> {
  const nodes: NodeRecord[] = [];
  for (const part of chunks(names)) nodes.push(...(await nodeRows(db).where('nodes.name', 'in', part).execute()).map(nodeOf));
  return nodes;
}

/** Locks in force at `now`. */
export async function locksInForce(db: Reader, now: number): Promise<readonly LockRecord[]> {
  const rows = await db.selectFrom('locks').selectAll().orderBy('id').execute();
  return rows
    .filter((row) => row.expires_at === null || row.expires_at > now)
    .map(({ id, target_kind, target, reason, expires_at, created_by, created_at }) => ({
      id,
      target_kind,
      target,
      reason,
      expires_at,
      created_by,
      created_at,
    }));
}

/** Notices to live sessions that are still published. */
export async function noticesInForce(db: Reader, now: number): Promise<readonly SessionNotice[]> {
  const rows = await db.selectFrom('session_notices').selectAll().where('expires_at', '>', now).orderBy('id').execute();
  return rows.map(({ created_by: by, expires_at, ...notice }) => ({ ...notice, by, expires_at: Number(expires_at) }));
}

function roleOf({ document }: Pick<Row<'roles'>, 'document'>): Role {
  return roleSchema.parse(JSON.parse(document));
}

function nodeRows(db: Reader) {
  return db
    .selectFrom('nodes')
    .leftJoin('joined_nodes', 'joined_nodes.node', 'nodes.name')
    .selectAll('nodes')
    .select('joined_nodes.key_hash');
}

function nodeOf(row: Row<'nodes'> & { readonly key_hash: string | null }): NodeRecord {
  return {
    name: row.name,
    kind: row.kind === 'agent' ? 'agent' : 'openssh',
    address: row.address,
    labels: JSON.parse(row.labels) as Record<string, string>,
    host_keys: JSON.parse(row.host_keys) as string[],
    last_seen_at: row.last_seen_at,
    ...(row.key_hash === null ? {} : { tunnel_key: row.key_hash }),
    ...(row.node_principals === 1 ? { node_principals: true } : {}),
  };
}

/** Chunks of at most `ROWS_PER_INSERT`. */
export function* chunks<T>(items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += ROWS_PER_INSERT) yield items.slice(i, i + ROWS_PER_INSERT);
}
