/** Large SELECTs that Steno writes: retro-hunts, baselines. Tested in test/kernel/hunt.test.ts and analyzer/retro/hidden.test.ts. */
import type { Condition } from '#schemas/policy/session-condition.js';
import type { Engine } from '../engine/engine.js';
import { readableTables, withViews } from './views.js';
import { scopeSettings } from '../queries/visible.js';

const limits = 'readonly = 1, max_execution_time = 120, max_memory_usage = 3000000000, max_result_bytes = 100000000';

/**
 * With `visible`, the same precautions apply as for a user's SQL with a scope (docs/decisions/0124): the user who hunts writes the
 * rule's conditions, and the engine might evaluate them on hidden rows before the filter, so that an error would reveal those rows.
 */
export async function scanTables(engine: Engine, sql: string, visible: Condition | undefined): Promise<readonly (readonly unknown[])[]> {
  const scoped = visible === undefined ? null : { listed: visible, viewed: visible, findings: true, audit: false };
  const plain = scoped === null ? '' : withViews(namedIn(sql), engine);
  const settings = scoped === null ? '' : scopeSettings(engine.database, scoped);
  const { data } = await engine.readChecked(`${plain}${sql} SETTINGS ${limits}, ${settings}log_comment = 'steno hunt'`);
  return data;
}

/** Tables that the statement may read; a table that is only named in a literal costs nothing. */
function namedIn(sql: string): ReadonlySet<string> {
  return new Set([...readableTables].filter((name) => new RegExp(`\\b${name}\\b`).test(sql)));
}
