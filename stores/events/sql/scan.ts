/** Large SELECTs of Steno itself: retro-hunts, baselines. Tested in test/kernel/hunt.test.ts and analyzer/retro/hidden.test.ts. */
import type { Condition } from '#schemas/policy/session-condition.js';
import type { Engine } from '../engine/engine.js';
import { readableTables, withViews } from './views.js';
import { scopeSettings } from '../queries/visible.js';

const limits = 'readonly = 1, max_execution_time = 120, max_memory_usage = 3000000000, max_result_bytes = 100000000';

/**
 * With `visible`, as a person's SQL with a scope (docs/decisions/0124): conditions of a rule are of whoever hunts, and the engine would evaluate
 * them on hidden rows before the filter. An error of one of them would tell of those rows.
 */
export async function scanTables(engine: Engine, sql: string, visible: Condition | undefined): Promise<readonly (readonly unknown[])[]> {
  const scoped = visible === undefined ? null : { listed: visible, viewed: visible, findings: true, audit: false };
  const plain = scoped === null ? '' : withViews(namedIn(sql), engine);
  const settings = scoped === null ? '' : scopeSettings(engine.database, scoped);
  const { data } = await engine.readChecked(`${plain}${sql} SETTINGS ${limits}, ${settings}log_comment = 'steno hunt'`);
  return data;
}

/** Tables that the statement may read; one that only a literal names costs nothing. */
function namedIn(sql: string): ReadonlySet<string> {
  return new Set([...readableTables].filter((name) => new RegExp(`\\b${name}\\b`).test(sql)));
}
