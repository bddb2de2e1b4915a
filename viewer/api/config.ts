/** Configuration of a viewer, as `steno viewer --config` reads it. Explained in docs/operate.md. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { eventsServer, hostPort, httpsBase, ingests, memberFields, objectsUrl, webBase } from '#runtime/service/config.js';

export const viewerConfig = z.strictObject({
  ...memberFields,
  /** Address of the page and its API, without TLS: put a proxy with a certificate in front of it. */
  listen: hostPort,
  /** The address at which users reach the page, such as https://steno.example.com. */
  address: webBase,
  /** The address at which users reach a gateway. */
  ssh: hostPort,
  /** The address at which users' commands reach the authority; if omitted, the first of `authorities`. */
  authority_address: httpsBase.optional(),
  /** Proxies in front of this server whose X-Forwarded-For is trusted. */
  proxies: z
    .array(z.string().refine((text) => isIP(text) !== 0, 'is not an IP address'))
    .max(64)
    .default([]),
  /** Addresses of ingests, from which live sessions are followed. */
  ingest: ingests,
  objects: objectsUrl.optional(),
  events: eventsServer.optional(),
});
export type ViewerServiceConfig = z.output<typeof viewerConfig>;
