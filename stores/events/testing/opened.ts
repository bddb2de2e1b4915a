/** Stores for the conformance suite, with a way to kill running statements. For tests only. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EventFixture } from '../conformance.js';
import { ClickHouseEventStore } from '../clickhouse/store.js';
import { openEngine } from '../engine/engine.js';
import type { Engine, EngineOptions } from '../engine/engine.js';
import { migrate } from '../migrations/migrate.js';
import { Recency } from '../search/recency.js';
import { Searches } from '../search/searches.js';

/** `largeRows`: from how many rows on searches read the newest part of the store first. */
export async function openedChdb(largeRows?: number): Promise<EventFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
  return opened({ kind: 'chdb', path: join(folder, 'events') }, () => rm(folder, { recursive: true, force: true }), largeRows);
}

export async function opened(
  options: EngineOptions,
  dispose: (engine: Engine) => Promise<void>,
  largeRows?: number,
): Promise<EventFixture> {
  const engine = await openEngine(options);
  await migrate(engine);
  return {
    store: new ClickHouseEventStore(engine, new Searches(engine, new Recency(engine, largeRows))),
    async kill(text) {
      if (!/^\w+$/.test(text)) throw new TypeError('not a word');
      await engine.command(`KILL QUERY WHERE query LIKE '%${text}%' AND query NOT LIKE 'KILL%' ASYNC`);
    },
    dispose: () => dispose(engine),
  };
}
