/**
 * The gateway as a process: its keys and certificates, the authority, the recorder, then the front door.
 *
 *     DIR/keys/     service, host and recording key with their certificates
 *     DIR/spool/    recordings and audit rows that ingest has not stored yet
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { connectAuthority } from '#runtime/authority-client.js';
import type { AuthorityClient } from '#runtime/authority-client.js';
import type { Log } from '#runtime/log.js';
import { runService } from '#runtime/service.js';
import type { Running } from '#runtime/service.js';
import { openServiceIdentity } from '#runtime/service-identity.js';
import type { ServiceIdentity } from '#runtime/service-identity.js';
import { CHECKPOINT_NAMESPACE } from '#schemas/recording/checkpoint.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { hostAndPort, startGateway } from './gateway.js';
import { startRecorder } from './recorder/start.js';
import type { RunningRecorder } from './recorder/start.js';
import type { Authority } from './ssh/authority.js';
import { observeStream } from './streams/protocols.js';
import { listenForTunnels } from './tunnel/listener.js';

interface ProcessConfig {
  readonly name: string;
  readonly dataDir: string;
  /** `host:port` of the SSH front door. */
  readonly listen: string;
  /** `host:port` of the tunnel's port, and where agents reach it when that is elsewhere. */
  readonly tunnelListen: string;
  readonly tunnelAddress?: string;
  /** The authority's Unix socket, to enrol, and its base URL. */
  readonly socket: string;
  readonly authority: string;
  /** `wss://host:port` of ingest. */
  readonly ingest: string;
  /** Bytes of recordings the spool may hold. */
  readonly spoolBudget?: number;
}

runService<ProcessConfig>('gateway', async (config, { log }): Promise<Running> => {
  const folder = (name: string): string => {
    const path = join(config.dataDir, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  const identity = await openServiceIdentity(
    {
      kind: 'gateway',
      name: config.name,
      socket: config.socket,
      dir: folder('keys'),
      hostNames: ['localhost', '127.0.0.1'],
      records: true,
    },
    { log, clock: Date.now },
  );
  const client = connectAuthority({ url: config.authority, identity }, { log });
  await client.ready();
  const recorder = await recorderOf(config, folder('spool'), identity, log);
  const [host, port] = hostAndPort(config.tunnelListen);
  const authority = authorityOf(client);
  // The recorder ends with the gateway, before the tunnels that its last sessions go through.
  let closing = false;
  const tunnel = await listenForTunnels(
    { host, port, address: config.tunnelAddress },
    {
      name: config.name,
      identity,
      ingest: config.ingest,
      calls: client.nodes,
      log: log.child({ part: 'tunnel' }),
      now: Date.now,
      snapshot: () => {
        try {
          return client.current();
        } catch {
          return null;
        }
      },
      onChange: (callback) => authority.onChange(callback),
      audit: (entry) => void (closing || recorder.audit(entry)),
    },
  );
  const stopRenewed = identity.onRenewed(() => recorder.renewed());
  const gateway = await startGateway(
    { name: config.name, listen: config.listen },
    {
      authority,
      recorder,
      openTunnel: (node, source) => tunnel.tunnels.open(node, source),
      observe: observeStream,
      hostKey: identity.hostKey!,
      hostCertificate: () => identity.hostCertificate(),
      onHostCertificate: (callback) => identity.onRenewed(callback),
      log,
      now: Date.now,
    },
  );
  return {
    addresses: { ...gateway.addresses, tunnel: tunnel.address },
    async close() {
      closing = true;
      stopRenewed();
      await gateway.close();
      await tunnel.close();
      client.close();
      identity.close();
    },
  };
});

function recorderOf(config: ProcessConfig, spool: string, identity: ServiceIdentity, log: Log): Promise<RunningRecorder> {
  const key = identity.recordingKey!;
  return startRecorder(
    { spool, gateway: config.name, ...(config.spoolBudget === undefined ? {} : { budget: config.spoolBudget }) },
    {
      sign: (text) => key.sign(sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', createHash('sha512').update(text).digest())),
      clock: { now: Date.now, monotonic: () => performance.now() },
      random: (bytes) => randomBytes(bytes),
      log,
      uplink: {
        url: () => `${config.ingest}/uplink`,
        tls: () => identity.tlsClientOptions(['ingest']),
        certificate: () => identity.recordingCertificate().toString('base64'),
      },
    },
  );
}

/** What the front door asks, from what the authority client offers. */
function authorityOf(client: AuthorityClient): Authority {
  return {
    current: () => client.current(),
    onChange: (callback) => client.onChange(() => callback()),
    sessionCertificate: async (request) => formatPublicLine(await client.sessionCertificate(request)),
    confirmSession: (request, shown, signal) => client.confirmSession(request, shown, signal),
    takePlace: (request) => client.places.take(request),
    tellPlaces: (report) => client.places.tell(report),
    hostCertificate: async (publicKey, name) => formatPublicLine(await client.hostCertificate({ public_key: publicKey, name })),
  };
}
