/**
 * The process that holds the stores of a small installation: an ingest, a viewer and, where it is configured, an analyzer. The embedded event store belongs to one
 * process at a time, so they share one; with a ClickHouse server each runs by itself.
 */
import { z } from 'zod';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { analyzerConfig } from '../../analyzer/config.js';
import type { RunningAnalyzer } from '../../analyzer/main.js';
import { startAnalyzerProcess } from '../../analyzer/process.js';
import { huntLines } from '../../analyzer/retro/requests.js';
import { ingestConfig } from '../../ingest/config.js';
import { startIngestProcess } from '../../ingest/process.js';
import { viewerConfig } from '../../viewer/api/config.js';
import { startViewerProcess } from '../../viewer/api/process.js';
import { webRoot } from '../machine/web-root.js';

/** Viewer and analyzer read what the ingest writes: `objects` and `events` of the ingest are those of all. */
export const storeConfig = z.strictObject({
  ingest: ingestConfig,
  viewer: viewerConfig.omit({ objects: true, events: true, health: true, fips: true }),
  analyzer: analyzerConfig.omit({ events: true, health: true, fips: true }).optional(),
});
/** `tokens`: by `steno up`, whose services find no files with theirs. */
export type StoreProcessConfig = z.output<typeof storeConfig> & {
  readonly tokens?: { readonly ingest: string; readonly viewer: string; readonly analyzer: string };
};

export async function startStoreProcess(
  config: StoreProcessConfig,
  { log, version }: { readonly log: Log; readonly version: string },
): Promise<Running> {
  const token = (kind: 'ingest' | 'viewer' | 'analyzer'): { token?: string } =>
    config.tokens === undefined ? {} : { token: config.tokens[kind] };
  const { fips } = config.ingest;
  const running: Running[] = [];
  const close = async (): Promise<void> => {
    for (const one of running.splice(0).reverse()) await one.close();
  };
  try {
    const ingest = await startIngestProcess({ ...config.ingest, ...token('ingest') }, { log });
    running.push(ingest);
    let analyzer: RunningAnalyzer | null = null;
    const beside = {
      stores: ingest.stores,
      queues: () => ingest.queues(),
      rebuilding: () => ingest.rebuilding(),
      analysis: () => analyzer?.analysis() ?? null,
    };
    const viewer = await startViewerProcess(
      { ...config.viewer, fips, ...token('viewer') },
      { log, version, webRoot, beside, hunter: huntLines },
    );
    running.push(viewer);
    if (config.analyzer !== undefined) {
      analyzer = await startAnalyzerProcess({ ...config.analyzer, fips, ...token('analyzer') }, { log, beside: ingest });
      running.push(analyzer);
    }
    return {
      addresses: { ...ingest.addresses, ...viewer.addresses },
      over: Promise.race(running.map(({ over }) => over).filter((over) => over !== undefined)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
