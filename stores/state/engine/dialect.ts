/** The engines' differences in naming, so that one set of migrations serves all. */
import { sql } from 'kysely';
import type { ColumnDataType, CreateTableBuilder, Kysely, RawBuilder } from 'kysely';

export type StateEngine = 'sqlite' | 'postgres';

export interface ColumnTypes {
  /** Milliseconds or a count, beyond 32 bits. */
  readonly integer: ColumnDataType;
  readonly bytes: ColumnDataType | RawBuilder<unknown>;
  /** Adds a primary key that counts up and never reuses a number. */
  readonly serial: <T extends string, C extends string>(table: CreateTableBuilder<T, C>, name: string) => CreateTableBuilder<T, C | string>;
}

const sqlite: ColumnTypes = {
  // In SQLite only a primary key declared `integer` becomes the row id; it holds 64 bits.
  integer: 'integer',
  bytes: 'blob',
  serial: (table, name) => table.addColumn(name, 'integer', (column) => column.primaryKey().autoIncrement()),
};

const postgres: ColumnTypes = {
  integer: 'bigint',
  bytes: sql`bytea`,
  serial: (table, name) => table.addColumn(name, 'bigint', (column) => column.generatedAlwaysAsIdentity().primaryKey()),
};

export const columnTypes: { readonly [E in StateEngine]: ColumnTypes } = { sqlite, postgres };

/** A step of the schema, written once for all engines and given the engine's type names. Released steps never change. */
export interface StateMigration {
  readonly up: (database: Kysely<unknown>, types: ColumnTypes) => Promise<void>;
}
