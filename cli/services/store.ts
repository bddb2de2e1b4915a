/**
 * The process that holds the stores of a small installation: an ingest and a viewer. The embedded event store belongs to one
 * process at a time, so they share one; with a ClickHouse server each runs by itself.
 */
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { ingestConfig } from '../../ingest/config.js';
import { startIngestProcess } from '../../ingest/process.js';
import { viewerConfig } from '../../viewer/api/config.js';
import { startViewerProcess } from '../../viewer/api/process.js';

/** The viewer reads what the ingest writes: `objects` and `events` of the ingest are those of both. */
export const storeConfig = z.strictObject({
  ingest: ingestConfig,
  viewer: viewerConfig.omit({ objects: true, events: true, health: true, fips: true }),
});
/** `tokens`: by `steno up`, whose services find no files with theirs. */
export type StoreProcessConfig = z.output<typeof storeConfig> & {
  readonly tokens?: { readonly ingest: string; readonly viewer: string };
};

/** The folder of the built page, seen from `dist/`. */
export const webRoot = fileURLToPath(new URL('../../web/', import.meta.url));

export async function startStoreProcess(
  config: StoreProcessConfig,
  { log, version }: { readonly log: Log; readonly version: string },
): Promise<Running> {
  const token = (kind: 'ingest' | 'viewer'): { token?: string } => (config.tokens === undefined ? {} : { token: config.tokens[kind] });
  const ingest = await startIngestProcess({ ...config.ingest, ...token('ingest') }, { log });
  try {
    const viewer = await startViewerProcess(
      { ...config.viewer, fips: config.ingest.fips, ...token('viewer') },
      { log, version, webRoot, beside: ingest },
    );
    return {
      addresses: { ...ingest.addresses, ...viewer.addresses },
      over: Promise.race([ingest.over, viewer.over].filter((over) => over !== undefined)),
      close: async () => {
        await viewer.close();
        await ingest.close();
      },
    };
  } catch (error) {
    await ingest.close();
    throw error;
  }
}
