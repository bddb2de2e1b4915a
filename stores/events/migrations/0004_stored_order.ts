/**
 * The order in which rows were stored: a number for each insert, and one for each row of it, which merges keep. Whoever goes by it
 * misses no row, however late it came. Parts from before get their numbers when they are next merged; until then those of a part count.
 *
 * And `positions`: how far along that order a reader has come (`stores/events/queries/changes.ts`).
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
