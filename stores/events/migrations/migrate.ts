/**
 * Brings the event store to the schema of this code, or refuses one that is newer.
 *
 *   1. run the statements of a step     crash: they are repeated, which is harmless
 *   2. record the step                  crash before: as above; after: the step is done
 *
 * Services of one server may start at the same time and run a step together; each statement allows for that. Tested in
 * `stores/events/clickhouse/store.test.ts` and `stores/events/migrations/migrations.test.ts`.
 */
import { StenoError } from '#schemas/base/errors.js';
import type { Engine } from '../engine/engine.js';
import { onCluster, replacingEngine } from '../engine/layout.js';
import { tables } from './0001_tables.js';
import { sources } from './0002_sources.js';
import { eventWords } from './0003_event_words.js';
import { storedOrder } from './0004_stored_order.js';
import type { Migration } from './migration.js';

export const migrations: readonly Migration[] = [tables, sources, eventWords, storedOrder];

export async function migrate(engine: Engine, steps: readonly Migration[] = migrations): Promise<void> {
  const { layout } = engine;
  await engine.command(
    `CREATE TABLE IF NOT EXISTS schema_migrations${onCluster(layout)} (version UInt32, name String, applied_at DateTime DEFAULT now()) ` +
      `ENGINE = ${replacingEngine(layout)} ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
  );
  const [row] = await engine.read('SELECT max(version) FROM schema_migrations', {});
  const found = Number(row?.[0] ?? 0);
  const newest = steps.at(-1)?.version ?? 0;
  if (found > newest) throw new StenoError('STORE_NEWER', `schema ${found}, this code knows ${newest}`);
  for (const step of steps) {
    if (step.version <= found) continue;
    for (const statement of step.statements(layout)) await engine.command(statement);
    if (layout.kind === 'embedded') await step.rebuild?.(engine);
    await engine.insert(
      'schema_migrations',
      'version, name',
      `${JSON.stringify([step.version, step.name])}\n`,
      `migration ${step.version}`,
    );
  }
}
