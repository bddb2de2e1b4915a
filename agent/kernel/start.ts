/**
 * Assembles kernel event collection on a node: the recorder, logins outside any session, the uplink to ingest, and one uplink
 * to each gateway that signs rows.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { EVENTS_PATH } from '#schemas/kernel/orders.js';
import type { EventsWay } from '#schemas/kernel/orders.js';
import type { Log } from '#runtime/log.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { UplinkClient } from '#runtime/uplink/client.js';
import { EventQueue } from '#runtime/uplink/event-queue.js';
import { freeEventRows } from '#runtime/uplink/free-event-rows.js';
import { LoginWatch } from '../bypass/login-watch.js';
import { throughGateways, toGateway } from './gateway-pipe.js';
import { KernelRecorder } from './kernel-recorder.js';
import type { KernelLoad } from './kernel-recorder.js';

/** Batches in flight to a gateway, which acknowledges them after about a minute; a slow session produces ten per second. */
const BATCH_WINDOW = 2_000;

/** Limit of logins on disk, in batches of up to 256: further ones wait in memory, and are then dropped and counted. */
const MAX_LOGIN_BATCHES = 256;

export interface KernelEvents {
  readonly recorder: KernelRecorder;
  close(): Promise<void>;
}

export interface KernelEventOptions {
  /** The programs, if already loaded. */
  readonly load?: KernelLoad | undefined;
  /** Whether logins outside any session are reported. */
  readonly logins: boolean;
}

/** `way`: the address of ingest, or of gateways that lead there. */
export function startKernelEvents(
  name: string,
  dataDir: string,
  way: { readonly ingest: string } | { readonly gateways: readonly string[] },
  identity: ServiceIdentity,
  log: Log,
  { load, logins }: KernelEventOptions,
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
        // Dial the gateway's own address and the known gateway addresses in turn: the certificate proves which gateway
        // answers.
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
  const queue = new EventQueue(
    {
      folder: join(dataDir, 'logins'),
      maxBatches: MAX_LOGIN_BATCHES,
      now: Date.now,
      random: randomBytes,
      onQuarantine: ({ file, rows, code, detail }) =>
        log.warn({ file: `logins/${file}`, rows, code, detail }, 'logins that ingest refused were put into quarantine'),
    },
    freeEventRows(Date.now(), 'kernel', name),
  );
  const ring = logins ? recorder.watchLogins() : null;
  const watch = ring === null ? null : new LoginWatch({ ring, tell: (event) => queue.push(event), log });
  const uplink = new UplinkClient({
    ...('ingest' in way
      ? { url: () => `${way.ingest}/uplink`, tls: () => identity.tlsClientOptions(['ingest']) }
      : { url: () => 'wss://ingest/uplink', tls: throughGateways(way.gateways, identity) }),
    name,
    batches: [recorder.batches, queue],
    random: Math.random,
    log,
  });
  return {
    recorder,
    async close() {
      await watch?.close();
      await queue.close();
      await recorder.close();
      await Promise.all([uplink, ...signers].map((client) => client.close()));
    },
  };
}
