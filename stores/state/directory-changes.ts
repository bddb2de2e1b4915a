/**
 * The log of changes to published state: table `directory_changes`, filled by triggers in the transaction of the change. A
 * reader that continues from its position knows which rows to read again, and misses nothing.
 *
 * Ids are in the order of commits: SQLite has one writer; with PostgreSQL the trigger takes a lock that the transaction
 * holds until it has committed, so no lower id becomes visible after a higher one. Ids may have gaps. The oldest entries are
 * removed (`pruneChanges`); a reader whose position precedes them reads everything. Tested in directory-changes.test.ts.
 */
import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import type { StateEngine } from './engine/dialect.js';
import type { ChangeKind, StateSchema } from './schema.js';

interface Source {
  readonly table: keyof StateSchema;
  readonly kind: ChangeKind;
  /** The column that identifies the row. */
  readonly key: string;
  /** The published columns; updates of others are ignored. */
  readonly columns?: readonly string[];
}

const sources: readonly Source[] = [
  { table: 'nodes', kind: 'nodes', key: 'name', columns: ['kind', 'address', 'host_keys', 'labels', 'node_principals'] },
  { table: 'joined_nodes', kind: 'nodes', key: 'node', columns: ['node', 'key_hash'] },
  { table: 'roles', kind: 'roles', key: 'name' },
  { table: 'locks', kind: 'locks', key: 'id' },
  { table: 'session_notices', kind: 'notices', key: 'id' },
  { table: 'session_invitations', kind: 'invitations', key: 'id', columns: ['expires_at', 'revoked_at'] },
  { table: 'access_requests', kind: 'requests', key: 'id', columns: ['state', 'ends_at'] },
  { table: 'trusted_clusters', kind: 'clusters', key: 'name' },
  { table: 'kube_clusters', kind: 'kube_clusters', key: 'name', columns: ['name', 'labels', 'revision'] },
  { table: 'users', kind: 'names', key: 'name', columns: ['name', 'created_at', 'own_since'] },
  { table: 'user_names', kind: 'names', key: 'name' },
  { table: 'removed_services', kind: 'services', key: 'key_hash' },
  { table: 'rule_set', kind: 'rules', key: 'id' },
  { table: 'siem_destinations', kind: 'siem', key: 'name' },
  { table: 'ca_keys', kind: 'cas', key: 'name' },
  { table: 'ca_rotations', kind: 'cas', key: 'name' },
];

export interface DirectoryChanges {
  /** The position to continue reading from. */
  readonly position: number;
  /** Keys by kind; null: the changes are unknown, so everything must be read. */
  readonly changed: ReadonlyMap<ChangeKind, ReadonlySet<string>> | null;
}

const MAX_CHANGES = 5_000;
const KEPT = 20_000;

/** `position` null: there is none yet. Call it in the same transaction that reads the changed rows. */
export async function changesAfter(db: Pick<Kysely<StateSchema>, 'selectFrom'>, position: number | null): Promise<DirectoryChanges> {
  const ends = await db
    .selectFrom('directory_changes')
    .select((of) => [of.fn.min('id').as('first'), of.fn.max('id').as('last')])
    .executeTakeFirstOrThrow();
  const last = Number(ends.last ?? 0);
  // Pruned entries may have concerned anything.
  if (position === null || position > last || Number(ends.first ?? 0) > position + 1) return { position: last, changed: null };
  const rows = await db
    .selectFrom('directory_changes')
    .select(['kind', 'key'])
    .where('id', '>', position)
    .limit(MAX_CHANGES + 1)
    .execute();
  if (rows.length > MAX_CHANGES) return { position: last, changed: null };
  const changed = new Map<ChangeKind, Set<string>>();
  for (const { kind, key } of rows) changed.set(kind, (changed.get(kind) ?? new Set()).add(key));
  return { position: last, changed };
}

/** Keeps the newest entries. */
export async function pruneChanges(db: Kysely<StateSchema>, kept = KEPT): Promise<void> {
  const { last } = await db
    .selectFrom('directory_changes')
    .select((of) => of.fn.max('id').as('last'))
    .executeTakeFirstOrThrow();
  if (last !== null)
    await db
      .deleteFrom('directory_changes')
      .where('id', '<=', Number(last) - kept)
      .execute();
}

/** Recreates the triggers at every opening, so that additions to the list take effect. Repeatable. */
export async function installChangeTriggers(database: Kysely<StateSchema>, engine: StateEngine): Promise<void> {
  if (engine === 'postgres') await installForPostgres(database);
  else await installForSqlite(database);
}

async function installForSqlite(database: Kysely<StateSchema>): Promise<void> {
  await database.transaction().execute(async (tx) => {
    for (const { table, kind, key, columns } of sources) {
      for (const act of ['INSERT', 'UPDATE', 'DELETE'] as const) {
        const trigger = sql.ref(`steno_directory_${table}_${act.toLowerCase()}`);
        const row = sql.raw(act === 'DELETE' ? 'OLD' : 'NEW');
        const of = act === 'UPDATE' && columns !== undefined ? sql` OF ${sql.join(columns.map((column) => sql.ref(column)))}` : sql``;
        await sql`DROP TRIGGER IF EXISTS ${trigger}`.execute(tx);
        await sql`CREATE TRIGGER ${trigger} AFTER ${sql.raw(act)}${of} ON ${sql.table(table)} BEGIN INSERT INTO directory_changes (kind, key) VALUES (${sql.lit(kind)}, ${row}.${sql.ref(key)}); END`.execute(
          tx,
        );
      }
    }
  });
}

async function installForPostgres(database: Kysely<StateSchema>): Promise<void> {
  await database.transaction().execute(async (tx) => {
    await sql`SELECT pg_advisory_xact_lock(hashtext('steno publish changes'))`.execute(tx);
    await sql`CREATE OR REPLACE FUNCTION steno_directory_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_advisory_xact_lock(hashtext('steno directory'));
      INSERT INTO directory_changes (kind, key)
        VALUES (TG_ARGV[0], (CASE WHEN TG_OP = 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END) ->> TG_ARGV[1]);
      RETURN NULL; END $$`.execute(tx);
    for (const { table, kind, key, columns } of sources) {
      const trigger = sql.ref(`steno_directory_${table}`);
      const update = columns === undefined ? sql`UPDATE` : sql`UPDATE OF ${sql.join(columns.map((column) => sql.ref(column)))}`;
      await sql`DROP TRIGGER IF EXISTS ${trigger} ON ${sql.table(table)}`.execute(tx);
      await sql`CREATE TRIGGER ${trigger} AFTER INSERT OR DELETE OR ${update} ON ${sql.table(table)} FOR EACH ROW EXECUTE FUNCTION steno_directory_change(${sql.lit(kind)}, ${sql.lit(key)})`.execute(
        tx,
      );
    }
  });
}
