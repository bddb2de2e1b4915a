import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEventStore } from './clickhouse.js';
import { eventStoreConformance } from './conformance.js';

eventStoreConformance('chDB', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'steno-events-'));
  return {
    store: await openEventStore({ kind: 'chdb', path: join(folder, 'events') }),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
});
