/** Configuration of a viewer, as `steno viewer --config` reads it. Explained in docs/operate.md. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { eventsServer, hostPort, httpsBase, ingests, memberFields, objectsUrl, webBase } from '#runtime/service/config.js';

export const viewerConfig = z.strictObject({
  ...memberFields,
  /** Address of the page and its API, without TLS: put a proxy with a certificate in front. */
  listen: hostPort,
  /** How people reach the page, such as https://steno.example.com. */
  address: webBase,
  /** How users reach a gateway. */
  ssh: hostPort,
  /** How commands of users reach the authority; the first of `authorities` when left out. */
  authority_address: httpsBase.optional(),
  /** Proxies in front, whose X-Forwarded-For counts. */
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
