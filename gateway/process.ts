/**
 * The gateway as a process: its keys and certificates, the authority, the recorder, then the listeners.
 *
 *     DIR/keys/     service, host and recording key with their certificates
 *     DIR/spool/    recordings and audit rows that ingest has not stored yet
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { AuthorityClient } from '#runtime/service/authority-client.js';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import type { UplinkState } from '#runtime/uplink/client.js';
import { spanMs } from '#runtime/service/config.js';
import { openMember } from '#runtime/service/member.js';
import type { Joining } from '#runtime/service/member.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { StenoError } from '#schemas/base/errors.js';
import { isLoopbackHost } from '#schemas/base/host-name.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import { KUBE_LABEL } from '#schemas/kube/kube-cluster.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { CHECKPOINT_NAMESPACE } from '#schemas/recording/checkpoint.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { nodeIn } from '#schemas/watch.js';
import type { GatewayServiceConfig } from './config.js';
import { DuplexWire } from './edge/duplex-wire.js';
import { startGateway } from './gateway.js';
import type { RunningGateway } from './gateway.js';
import { Presence } from './presence.js';
import { startRecorder } from './recorder/start.js';
import type { RunningRecorder } from './recorder/start.js';
import type { Authority } from './sessions/authority.js';
import { observeStream } from './streams/protocols.js';
import { listenForTunnels } from './tunnel/listener.js';
import type { Shared } from './workers/shared.js';

/** `shared`: set for a worker, whose connections another process accepts; null: this process listens itself. */
export async function startGatewayProcess(
  config: GatewayServiceConfig & Joining,
  { log }: { readonly log: Log },
  shared: Shared | null = null,
): Promise<Running> {
  const folder = (name: string): string => {
    const path = join(config.data, name);
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  };
  const member = await openMember(
    'gateway',
    config,
    { dir: folder('keys'), hostNames: dialledHosts(config), everyHostKey: true, records: true },
    { log, clock: Date.now },
  );
  const { identity, authority: client } = member;
  const presence: Presence = new Presence({
    tell: async (held) => {
      const { known, gateways } = await client.nodes.held(held);
      tunnel.gateways(gateways);
      return known;
    },
    address: () => tunnel.agentAddress,
    log,
  });
  const recorder = await recorderOf(config, folder('spool'), identity, log, (state) =>
    presence.ingest(state.kind === 'up' ? state.peer : ''),
  );
  const authority = authorityOf(client);
  // The recorder ends with the gateway, before the tunnels that the last sessions use.
  let closing = false;
  // Viewers and other gateways may connect before the gateway has started; until then there are no sessions.
  let gateway: RunningGateway | undefined;
  const tunnel = await listenForTunnels(
    { ...requireHostPort(config.tunnel.listen), address: config.tunnel.address },
    {
      name: config.name,
      identity,
      ingest: config.ingest,
      calls: client.nodes,
      held: (node, held) => {
        presence.node(node, held);
        shared?.held(node, held);
      },
      log: log.child({ part: 'tunnel' }),
      now: Date.now,
      snapshot: () => {
        try {
          return client.current();
        } catch {
          return null;
        }
      },
      onChange: (callback) => authority.onChange(() => callback()),
      audit: (entry) => void (closing || recorder.audit(entry)),
      eventLogs: recorder.eventLogs,
      relayed: (socket, from) => (gateway === undefined ? socket.terminate() : gateway.takeRelayed(socket, from)),
      ssh: {
        taking: () => gateway?.draining === false,
        accept: (wire, source) => gateway?.acceptSsh(wire, source),
      },
      arrivals: shared?.arrivals('tunnel'),
    },
  );
  shared?.serve(({ node, key, kind, source }) => tunnel.tunnels.stream(node, key, { kind, source }));
  shared?.onTurnedAway((port, counts) =>
    recorder.audit({
      event: 'strangers.turned_away',
      outcome: 'failure',
      code: 'TOO_MANY',
      target: `gateway/${config.name}`,
      data: JSON.stringify(port === 'ssh' ? counts : { ...counts, port }),
    }),
  );
  /** For an agent whose tunnel another worker holds; null if this worker or no worker holds it. */
  const throughSibling = (node: NodeRecord, kind: 'ssh' | 'kubernetes' | 'pod', source: string): Duplex | null =>
    tunnel.tunnels.has(node.name) ? null : (shared?.open(node, kind, source) ?? null);
  presence.start();
  const graceMs = spanMs(config.drain);
  const stopRenewed = identity.onRenewed(() => recorder.reconnect());
  const stopRemoved = identity.removed.onChange((kinds) => kinds.has('ingest') && recorder.reconnect());
  const events = { gateway: config.name, address: config.tunnel.address ?? tunnel.address };
  const running = await startGateway(
    { name: config.name, listen: config.listen },
    {
      authority,
      recorder,
      openTunnel: (node, source) => {
        const stream = throughSibling(node, 'ssh', source);
        return stream === null ? tunnel.tunnels.open(node, source) : new DuplexWire(stream, Buffer.alloc(0));
      },
      arrivals: shared?.ssh(),
      events,
      elsewhere: {
        identity,
        find: async (session) => {
          const holder = await client.liveSession(session);
          if (holder === null || holder.gateway === config.name) return null;
          return { ...holder, address: shared?.address(holder.gateway) ?? holder.address };
        },
      },
      observe: observeStream,
      hostKey: identity.hostKey!,
      moreHostKeys: identity.moreHostKeys,
      hostCertificate: () => identity.hostCertificate(),
      onHostCertificate: (callback) => identity.onRenewed(callback),
      tellLockEffects: (effects) => client.lockEffects(effects),
      onSession: (id, live, details) => presence.session(id, live, details),
      onSessionChanged: (id) => presence.changed(id),
      ...(config.kube_listen === undefined
        ? {}
        : {
            kube: {
              listen: config.kube_listen,
              identity,
              readUpstream: (cluster) => client.kubeUpstream(cluster),
              askConfirmation: (request) => client.confirmKube(request),
              openCluster: (name, cluster) => {
                const node = nodeIn(client.current().nodes, name);
                // The label must come from a token, so that nobody who may merely join a node can become the agent of a cluster.
                if (node?.labels[KUBE_LABEL] !== cluster)
                  throw new StenoError('NODE_UNREACHABLE', `${name} has not joined as the agent of ${cluster}`);
                return throughSibling(node, 'kubernetes', config.name) ?? tunnel.tunnels.openCluster(node, config.name);
              },
              pods: { open: (node) => throughSibling(node, 'pod', config.name) ?? tunnel.tunnels.openPod(node, config.name), events },
              arrivals: shared?.arrivals('kube'),
            },
          }),
      log,
      now: Date.now,
    },
  );
  gateway = running;
  shared?.retireWhen(() => {
    const { openSessions, unstored, uplink } = recorder.status();
    return uplink === 'up' && openSessions === 0 && unstored === 0;
  });
  return {
    addresses: { ...running.addresses, tunnel: tunnel.address },
    graceMs,
    over: client.removed,
    async close(hurry) {
      await running.drain(graceMs, hurry);
      // Sessions of other workers may use tunnels of this one.
      await shared?.together('drained');
      closing = true;
      stopRenewed();
      stopRemoved();
      await running.close();
      await shared?.together('ended');
      presence.close();
      await tunnel.close();
      member.close();
    },
  };
}

/** Names for the host certificates besides the gateway's own name and loopback, for clients that check the host they have dialled. */
function dialledHosts({ listen, address, tunnel }: GatewayServiceConfig): readonly string[] {
  const hosts = [listen, address, tunnel.listen, tunnel.address].flatMap((text) =>
    text === undefined ? [] : [requireHostPort(text).host],
  );
  // Loopback names and `0.0.0.0` need no entry, and a name that is neither a DNS name nor an address (such as `my_host`) cannot have one.
  return [...new Set(hosts.filter((host) => !isLoopbackHost(host) && /^[A-Za-z0-9.:-]+$/.test(host)))];
}

function recorderOf(
  config: GatewayServiceConfig,
  spool: string,
  identity: ServiceIdentity,
  log: Log,
  onState: (state: UplinkState) => void,
): Promise<RunningRecorder> {
  const key = identity.recordingKey!;
  let attempt = 0;
  return startRecorder(
    {
      spool,
      gateway: config.name,
      ...(config.spool_bytes === undefined ? {} : { budget: config.spool_bytes }),
    },
    {
      sign: (text) => key.sign(sshsigSignedData(CHECKPOINT_NAMESPACE, 'sha512', createHash('sha512').update(text).digest())),
      clock: { now: Date.now, monotonic: () => performance.now() },
      random: (bytes) => randomBytes(bytes),
      log,
      uplink: {
        // Each attempt uses the next ingest, so one that does not answer is skipped.
        url: () => `${config.ingest[attempt++ % config.ingest.length]!}/uplink`,
        tls: () => identity.tlsClientOptions(['ingest']),
        certificate: () => identity.recordingCertificate().toString('base64'),
        onState,
      },
    },
  );
}

/** The gateway's interface to the authority, implemented by the authority client. */
function authorityOf(client: AuthorityClient): Authority {
  return {
    current: () => client.current(),
    onChange: (callback) => client.onChange((_, delta) => callback(delta)),
    sessionCertificate: async (request) => formatPublicLine(await client.sessionCertificate(request)),
    confirmSession: (request, shown, signal) => client.confirmSession(request, shown, signal),
    takePlace: (request) => client.places.take(request),
    tellPlaces: (report) => client.places.tell(report),
    hostCertificate: async (publicKey, name, own) =>
      formatPublicLine(
        await client.hostCertificate({ public_key: publicKey, name, ...(own === undefined ? {} : { host_certificate: own }) }),
      ),
  };
}
