/** Configuration of a gateway, as `steno gateway --config` reads it. Explained in docs/operate.md. */
import { availableParallelism } from 'node:os';
import { z } from 'zod';
import type { Joining } from '#runtime/service/member.js';
import { hostPort, ingests, memberFields, span } from '#runtime/service/config.js';

/** A service token has at most 100 uses, one per worker; the rest is left for other gateways. */
const MAX_WORKERS = 64;

export const gatewayConfig = z.strictObject({
  ...memberFields,
  /** Address of the SSH listener. */
  listen: hostPort,
  /** The address at which users reach it, if there is a proxy or NAT in between. */
  address: hostPort.optional(),
  /** Address of the listener for kubectl and other Kubernetes clients; absent: none. */
  kube_listen: hostPort.optional(),
  /** Where agents connect their tunnels. */
  tunnel: z.strictObject({ listen: hostPort, address: hostPort.optional() }),
  /** Addresses of ingests; one that does not answer is skipped. */
  ingest: ingests,
  /** Bytes of recordings that the spool may hold. */
  spool_bytes: z.number().int().min(16_777_216).optional(),
  /** Number of processes that share the same ports; `auto`: one per core. Each after the first joins as NAME-w2 and so on. */
  workers: z.union([z.literal('auto'), z.number().int().min(1).max(MAX_WORKERS)]).default(1),
  /** How long live sessions may continue after SIGTERM. */
  drain: span.default('0s'),
});
export type GatewayServiceConfig = z.output<typeof gatewayConfig>;

/** `worker_tokens`: tokens of the workers from the second on, if the parent makes them (cli/up/machine.ts). */
export type GatewayStart = GatewayServiceConfig & Joining & { readonly worker_tokens?: readonly string[] };

export function workerCount({ workers }: Pick<GatewayServiceConfig, 'workers'>): number {
  return workers === 'auto' ? Math.min(availableParallelism(), MAX_WORKERS) : workers;
}

/** The name under which a worker joins: the first has the gateway's name. */
export function workerName(gateway: string, number: number): string {
  return number === 1 ? gateway : `${gateway}-w${number}`;
}
