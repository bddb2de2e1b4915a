/** Configuration of a gateway, as `steno gateway --config` reads it. Explained in docs/operate.md. */
import { z } from 'zod';
import { hostPort, ingests, memberFields, span } from '#runtime/service/config.js';

export const gatewayConfig = z.strictObject({
  ...memberFields,
  /** Where the SSH front door listens. */
  listen: hostPort,
  /** How users reach it, where something stands in between. */
  address: hostPort.optional(),
  /** Where kubectl and other clients of Kubernetes come in; left out: nowhere. */
  kube_listen: hostPort.optional(),
  /** Where agents bring their tunnels. */
  tunnel: z.strictObject({ listen: hostPort, address: hostPort.optional() }),
  /** Ingests; one that is away is passed over. */
  ingest: ingests,
  /** Bytes of recordings that the spool may hold. */
  spool_bytes: z.number().int().min(16_777_216).optional(),
  /** How long live sessions may go on after SIGTERM. */
  drain: span.default('0s'),
});
export type GatewayServiceConfig = z.output<typeof gatewayConfig>;
