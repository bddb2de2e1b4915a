/** The process of `steno up` that holds the stores: an ingest and a viewer (cli/services/store.ts). */
import { STORE_PRIORITY, lowerPriority } from '#runtime/priority.js';
import { runService } from '#runtime/service/process.js';
import { startStoreProcess } from '../services/store.js';
import type { StoreProcessConfig } from '../services/store.js';

// Before it has threads: indexing and searching make room for whoever types.
lowerPriority(STORE_PRIORITY);
runService<StoreProcessConfig & { readonly version: string }>('store', (config, { log }) =>
  startStoreProcess(config, { log, version: config.version }),
);
