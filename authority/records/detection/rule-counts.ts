/**
 * Hits and costs of rules, as each analyzer counted them since its start, and their sums: analyzers share the sessions. `rule` is as in
 * `rule_reports`: the id, or `@ID` for a report of the catalogue.
 *
 * The counts of an analyzer that stopped stay until it starts again or is removed. Tested in ../../detection/rule-catalogue.test.ts and
 * ../../detection/rules.test.ts.
 */
import { sql } from 'kysely';
import { beginsWith } from '#stores/state/begins-with.js';
import type { Reader, Tx } from '../records.js';

export interface RuleCounts {
  readonly hits: number;
  readonly observations: number;
  /** Milliseconds. */
  readonly cost_ms: number;
}

/** Sums over all analyzers, of rules whose name begins with `prefix`. */
export async function ruleCounts(db: Reader, prefix = ''): Promise<ReadonlyMap<string, RuleCounts>> {
  const rows = await db
    .selectFrom('rule_counts')
    .select((of) => [
      'rule',
      of.fn.sum<string | number>('hits').as('hits'),
      of.fn.sum<string | number>('observations').as('observations'),
      of.fn.sum<string | number>('cost_us').as('cost_us'),
    ])
    .where(beginsWith('rule', prefix))
    .groupBy('rule')
    .execute();
  return new Map(
    rows.map((row) => [row.rule, { hits: Number(row.hits), observations: Number(row.observations), cost_ms: Number(row.cost_us) / 1_000 }]),
  );
}

/** `analyzer`: `analyzer/NAME`. */
export async function keepRuleCounts(tx: Tx, analyzer: string, rules: readonly (RuleCounts & { readonly rule: string })[]): Promise<void> {
  if (rules.length === 0) return;
  const values = rules.map(({ rule, hits, observations, cost_ms: ms }) => ({
    ...{ rule, analyzer, hits, observations, cost_us: Math.min(Number.MAX_SAFE_INTEGER, Math.round(ms * 1_000)) },
  }));
  await tx
    .insertInto('rule_counts')
    .values(values)
    .onConflict((on) =>
      on.columns(['rule', 'analyzer']).doUpdateSet({
        hits: sql.ref('excluded.hits'),
        observations: sql.ref('excluded.observations'),
        cost_us: sql.ref('excluded.cost_us'),
      }),
    )
    .execute();
}

/** Forgets what an analyzer counted, of rules whose name begins with `prefix`. */
export async function forgetRuleCounts(tx: Tx, analyzer: string, prefix = ''): Promise<void> {
  await tx.deleteFrom('rule_counts').where('analyzer', '=', analyzer).where(beginsWith('rule', prefix)).execute();
}
