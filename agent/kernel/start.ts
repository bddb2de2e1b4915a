/** Kernel events of a node, put together: recorder and uplink. */
import { join } from 'node:path';
import type { Log } from '#runtime/log.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { UplinkClient } from '#runtime/uplink/client.js';
import { throughGateways } from './gateway-pipe.js';
import { KernelRecorder } from './kernel-recorder.js';
import type { KernelLoad } from './kernel-recorder.js';

export interface KernelEvents {
  readonly recorder: KernelRecorder;
  close(): Promise<void>;
}

/** `way`: where ingest is, or the gateways that lead there. `load`: the programs, where they are loaded already. */
export function startKernelEvents(
  name: string,
  dataDir: string,
  way: { readonly ingest: string } | { readonly gateways: readonly string[] },
  identity: ServiceIdentity,
  log: Log,
  load?: KernelLoad,
): KernelEvents {
  const recorder = KernelRecorder.open({ folder: join(dataDir, 'kernel') }, log, load);
  if (recorder.reason === null) log.info('kernel events are recorded where roles say so');
  else log.warn({ reason: recorder.reason }, 'kernel events cannot be recorded');
  const uplink = new UplinkClient({
    ...('ingest' in way
      ? { url: () => `${way.ingest}/uplink`, tls: () => identity.tlsClientOptions(['ingest']) }
      : { url: () => 'wss://ingest/uplink', tls: throughGateways(way.gateways, identity) }),
    name,
    batches: [recorder.batches],
    random: Math.random,
    log,
  });
  return {
    recorder,
    async close() {
      await recorder.close();
      await uplink.close();
    },
  };
}
