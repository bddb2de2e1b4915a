/**
 * The process that holds the stores: ingest and viewer/api. A chDB directory belongs to one process at a time, so on
 * one machine they share one; past it, each runs in its own against a ClickHouse server.
 *
 * Order: stores, authority connection, ingest, viewer. Closing goes the other way round.
 */
import { join } from 'node:path';
import { openDirectoryObjects } from '#stores/objects/directory.js';
import { openChdbEvents } from '#stores/events/chdb.js';
import { runService } from '#runtime/service.js';
import type { Running } from '#runtime/service.js';

runService<StoreConfig>('store', startStore);
