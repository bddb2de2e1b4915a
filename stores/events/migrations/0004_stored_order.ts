/**
 * The order in which rows were stored: a number per insert and a number per row in it, both preserved by merges. A reader that
 * follows this order misses no row, however late it arrived. The rows of existing parts get their numbers at the next merge; until
 * then the numbers of the part apply.
 *
 * Also adds `positions`: each reader's position in that order (`stores/events/queries/changes.ts`).
 */
import { durableSettings, onCluster, replacingEngine } from '../engine/layout.js';
import type { Migration } from './migration.js';

export const storedOrder: Migration = {
  version: 4,
  name: 'stored order',
  statements: (layout) => [
    ...['events', 'audit', 'findings'].map(
      (table) => `ALTER TABLE ${table}${onCluster(layout)} MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1`,
    ),
    `CREATE TABLE IF NOT EXISTS positions${onCluster(layout)} (
  name String,
  version UInt64,
  position String
) ENGINE = ${replacingEngine(layout, 'version')} ORDER BY name SETTINGS ${durableSettings(layout)}`,
  ],
};
