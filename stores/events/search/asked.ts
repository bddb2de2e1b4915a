/**
 * What each table is asked for a search.
 *
 * Each table is queried separately, so that each uses its own indexes, and a table in which nothing can match is skipped. Duplicates
 * are counted once: hits are counted by the hash of their identity, which is exact up to about ten thousand and within one percent above.
 */
import type { EventTable } from '#schemas/events/rows.js';
import type { SearchExpression } from '#schemas/search/expression.js';
import { formatMoment } from '../engine/columns.js';
import type { Engine } from '../engine/engine.js';
import { Conditions } from '../queries/conditions.js';
import type { SearchScope } from '../search-contract.js';
import { withCandidates } from './candidates.js';
import { addScope } from './scope.js';
import { searchTables } from './tables.js';
import type { SearchTable } from './tables.js';
import { NO_SIGNALS, writeSearch } from './write-search.js';

/** The rows of a table that a search may find; of large tables only those at or after `start`. Undefined: none can. */
function conditionsOf(table: SearchTable, { expression, scope, start }: Asking): Conditions | undefined {
  if (table.name === 'audit' && !scope.audit) return undefined;
  const conditions = new Conditions();
  if (start !== undefined && table.large)
    conditions.add(`${table.moment} >= toDateTime64(${conditions.bind(formatMoment(start))}, 3, 'UTC')`, {});
  const written = writeSearch(expression, table, conditions.bind);
  if (written === false) return undefined;
  if (written !== true) conditions.add(written, {});
  if (table.name === 'findings' && !namesSignals(expression)) conditions.add(NO_SIGNALS, {});
  addScope(conditions, table, scope);
  return conditions;
}

/** Signals tag ordinary behaviour, so they are found only when named explicitly. */
function namesSignals(expression: SearchExpression): boolean {
  switch (expression.kind) {
    case 'all':
    case 'any':
      return expression.of.some(namesSignals);
    case 'not':
      return namesSignals(expression.of);
    case 'text':
      return false;
    case 'field':
      return expression.field === 'tier' || expression.field === 'rule' || expression.field === 'technique';
  }
}

export interface Asking {
  readonly expression: SearchExpression;
  readonly scope: SearchScope;
  readonly start?: number | undefined;
}

export interface Asked {
  readonly table: SearchTable;
  readonly conditions: Conditions;
}

export function conditionsIn(tables: readonly SearchTable[], asking: Asking): readonly Asked[] {
  return tables.flatMap((table) => {
    const conditions = conditionsOf(table, asking);
    return conditions === undefined ? [] : [{ table, conditions }];
  });
}

/** The tables in which something may be found. */
export async function tablesAsked(engine: Engine, asking: Asking): Promise<readonly SearchTable[]> {
  const asked = await withCandidates(engine, asking, conditionsIn(searchTables, asking));
  return asked.map(({ table }) => table);
}

export interface Union {
  readonly sql: string;
  readonly parameters: Conditions['parameters'];
}

export function unionOf(asked: readonly Asked[], columns: (table: SearchTable) => string): Union | undefined {
  if (asked.length === 0) return undefined;
  const parameters: Record<string, string | number | readonly string[]> = {};
  const parts = asked.map(({ table, conditions }, i) => {
    const renamed = conditions.renamed(`t${i}_`);
    Object.assign(parameters, renamed.parameters);
    return `SELECT ${columns(table)} FROM ${table.name}${table.final ? ' FINAL' : ''} WHERE ${renamed.where}`;
  });
  return { sql: parts.join(' UNION ALL '), parameters };
}

export function identityHash(identity: readonly string[]): string {
  return `cityHash64(${identity.join(', ')})`;
}

export function rankOf(table: EventTable): number {
  return searchTables.findIndex(({ name }) => name === table);
}
