import Database from 'better-sqlite3';
import { Kysely, SqliteDialect, sql } from 'kysely';
import type { Generated } from 'kysely';

export interface StateTables {
  cas: { name: string; public: string; sealed: Uint8Array };
  users: { name: string; roles: string; created_at: number };
  roles: { name: string; document: string; updated_at: number };
  nodes: { name: string; kind: string; address: string; labels: string; host_keys: string; last_seen_at: number | null };
  locks: { id: string; target_kind: string; target: string; reason: string; expires_at: number | null; created_at: number };
  certificates: { serial: string; kind: string; key_id: string; subject: string; issued_at: number; valid_before: number };
  sign_in_links: { hash: string; user: string; expires_at: number };
  web_sessions: { hash: string; user: string; expires_at: number };
  audit_outbox: { position: Generated<number>; id: string; row: string };
}

export async function openState(path: string): Promise<Kysely<StateTables>> {
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  const kysely = new Kysely<StateTables>({ dialect: new SqliteDialect({ database: db }) });
  for (const ddl of [
    'create table if not exists cas (name text primary key, public text not null, sealed blob not null)',
    'create table if not exists users (name text primary key, roles text not null, created_at integer not null)',
    'create table if not exists roles (name text primary key, document text not null, updated_at integer not null)',
    'create table if not exists nodes (name text primary key, kind text not null, address text not null, labels text not null, host_keys text not null, last_seen_at integer)',
    'create table if not exists locks (id text primary key, target_kind text not null, target text not null, reason text not null, expires_at integer, created_at integer not null)',
    'create table if not exists certificates (serial text primary key, kind text not null, key_id text not null, subject text not null, issued_at integer not null, valid_before integer not null)',
    'create table if not exists sign_in_links (hash text primary key, user text not null, expires_at integer not null)',
    'create table if not exists web_sessions (hash text primary key, user text not null, expires_at integer not null)',
    'create table if not exists audit_outbox (position integer primary key autoincrement, id text not null unique, row text not null)',
  ]) await sql.raw(ddl).execute(kysely);
  return kysely;
}
