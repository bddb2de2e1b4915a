/** Configuration of a gateway, as `steno gateway --config` reads it. Explained in docs/operate.md. */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import type { Joining } from '#runtime/service/member.js';
import { hostPort, ingests, memberFields, span } from '#runtime/service/config.js';

/** As many as a token of services may have uses, with room for others. */
const MAX_WORKERS = 64;

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
  /** Processes that share the work behind the same ports; `auto`: one for each core. Each beyond the first joins as NAME-w2 and so on. */
  workers: z.union([z.literal('auto'), z.number().int().min(1).max(MAX_WORKERS)]).default(1),
  /** How long live sessions may go on after SIGTERM. */
  drain: span.default('0s'),
});
export type GatewayServiceConfig = z.output<typeof gatewayConfig>;

/** `worker_tokens`: of the workers from the second on, by a parent that makes them (cli/up/machine.ts). */
export type GatewayStart = GatewayServiceConfig & Joining & { readonly worker_tokens?: readonly string[] };

export function workerCount({ workers }: Pick<GatewayServiceConfig, 'workers'>): number {
  return workers === 'auto' ? Math.min(availableParallelism(), MAX_WORKERS) : workers;
}

/** The name under which a worker joins: the first has that of the gateway. */
export function workerName(gateway: string, number: number): string {
  return number === 1 ? gateway : `${gateway}-w${number}`;
}
