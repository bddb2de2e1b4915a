/** Configuration of an ingest, as `steno ingest --config` reads it. Explained in docs/operate.md. */
import { z } from 'zod';
import { eventsServer, hostPort, memberFields, objectsUrl } from '#runtime/service/config.js';

export const ingestConfig = z.strictObject({
  ...memberFields,
  /** Where gateways, agents, authorities and viewers connect. */
  listen: hostPort,
  objects: objectsUrl.optional(),
  /** A ClickHouse server; if omitted, the embedded event store under `data`, which only this process may open. */
  events: eventsServer.optional(),
  /** Whether sealed sessions are repacked; false for buckets under Object Lock. */
  repack: z.boolean().default(true),
});
export type IngestServiceConfig = z.output<typeof ingestConfig>;
