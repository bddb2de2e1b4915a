/** Kernel events of a node, put together: recorder, the uplink to ingest, and one to each gateway that signs rows. */
import { join } from 'node:path';
import { EVENTS_PATH } from '#schemas/kernel/orders.js';
import type { EventsWay } from '#schemas/kernel/orders.js';
import type { Log } from '#runtime/log.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { UplinkClient } from '#runtime/uplink/client.js';
import { throughGateways, toGateway } from './gateway-pipe.js';
import { KernelRecorder } from './kernel-recorder.js';
import type { KernelLoad } from './kernel-recorder.js';

/** Batches under way to a gateway: it says that they are stored after a minute or so, and gets ten a second of a slow session. */
const BATCH_WINDOW = 2_000;

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
  const signers: UplinkClient[] = [];
  recorder.onGateway = (signer: EventsWay, batches) => {
    let tries = 0;
    const addresses = 'gateways' in way ? [signer.address, ...way.gateways] : [signer.address];
    signers.push(
      new UplinkClient({
        // Where the gateway believes to be reached, and where nodes reach gateways: whoever shows its certificate is it.
        url: () => `wss://${addresses[tries++ % addresses.length]!}${EVENTS_PATH}`,
        tls: () => toGateway(signer.gateway, identity),
        name,
        batches: [batches],
        batchWindow: BATCH_WINDOW,
        onState: ({ kind }) => batches.reachable(kind === 'up'),
        random: Math.random,
        log,
      }),
    );
  };
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
      await Promise.all([uplink, ...signers].map((client) => client.close()));
    },
  };
}
