/**
 * Wires the parts of the gateway together.
 *
 *     authority ──snapshots, certificates──► listener ──sessions──► recorder ──► spool ──► uplink
 *
 * Start: keys, recorder, host certificate, listen. Drain: admit nobody and begin no session; live sessions continue, under locks
 * and roles as before. Close, in this order: notify all users and end their sessions, wait for their recordings, close the recorder.
 * Fails closed: without a snapshot nobody is admitted.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatDuration } from '#schemas/base/duration.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Log } from '#runtime/log.js';
import type { WebSocket } from 'ws';
import type { Running } from '#runtime/service/process.js';
import { StenoError } from '#schemas/base/errors.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { LiveSessionDetails } from '#schemas/api/inventory/live-sessions.js';
import type { LockEffect } from '#schemas/lock-effect.js';
import type { EventsWay } from '#schemas/kernel/orders.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { listenForKubernetes } from './kube/listener.js';
import type { KubeListenerDeps } from './kube/listener.js';
import { Confirmations } from './kube/requests/confirmations.js';
import type { AskConfirmation } from './kube/requests/confirmations.js';
import { Upstreams } from './kube/requests/upstreams.js';
import type { OpenCluster, ReadUpstream } from './kube/requests/upstreams.js';
import { LiveSessions } from './live/live-sessions.js';
import { SnapshotChanges } from './sessions/change-scope.js';
import { LockEffectReporter } from './sessions/lock-effects.js';
import type { Recorder } from './recorder/recorder.js';
import { KnownKeys } from './ssh/server/admission.js';
import type { Authority } from './sessions/authority.js';
import type { OpenTunnel } from './ssh/dial/dial.js';
import { SshListener } from './ssh/server/listener.js';
import type { ListenerDeps } from './ssh/server/listener.js';
import type { Elsewhere } from './ssh/server/elsewhere.js';
import { RelayedJoins } from './ssh/server/relayed-join.js';
import { HostKeys, OWN_NAMES } from './ssh/transport/host-keys.js';
import { SessionCertificates } from './ssh/dial/session-certificates.js';
import { SessionRegistry } from './sessions/registry.js';
import { SessionSlots } from './sessions/slots.js';
import type { Observe } from './ssh/relay/session-recording.js';
import { cryptoReady } from './ssh/transport/transport.js';

export interface GatewayConfig {
  /** Name of the gateway, as in its host certificate. */
  readonly name: string;
  /** `host:port`; port 0 picks a free one. */
  readonly listen: string;
}

export interface GatewayDeps {
  readonly authority: Authority;
  readonly recorder: Recorder;
  readonly observe: Observe;
  readonly hostKey: SshPrivateKey;
  /** Host keys of other kinds, for clients that do not support the kind of `hostKey`. */
  readonly moreHostKeys?: readonly SshPrivateKey[];
  /** The gateway's current host certificate for `hostKey`; the authority issues all others. */
  readonly hostCertificate: () => Uint8Array;
  /** Calls back when the certificate was replaced; returns a function that unsubscribes. */
  readonly onHostCertificate?: (callback: () => void) => () => void;
  /** Reports to the authority what locks have ended on this gateway. */
  readonly tellLockEffects?: (effects: readonly LockEffect[]) => Promise<void>;
  /**
   * Called when a session with a recording begins and when it ends. `details`: reported to the authority; null if nobody can join
   * the session.
   */
  readonly onSession?: (id: string, live: boolean, details: (() => LiveSessionDetails) | null) => void;
  /** Called when the details of a session have changed. */
  readonly onSessionChanged?: (id: string) => void;
  readonly log: Log;
  /** ms since 1970. */
  readonly now: () => number;
  readonly limits?: ListenerDeps['limits'];
  /** Connections of the SSH port that another process accepts; absent: this process listens. */
  readonly arrivals?: ListenerDeps['arrivals'];
  /** The listener for Kubernetes clients; absent: none. */
  readonly kube?: {
    /** `host:port`; port 0 picks a free one. */
    readonly listen: string;
    readonly identity: KubeListenerDeps['identity'];
    readonly readUpstream: ReadUpstream;
    readonly askConfirmation: AskConfirmation;
    readonly openCluster?: OpenCluster;
    readonly pods?: NonNullable<KubeListenerDeps['pods']>;
    /** Like `arrivals`, for the Kubernetes port. */
    readonly arrivals?: KubeListenerDeps['arrivals'];
  };
  /** Absent: nodes behind tunnels cannot be reached. */
  readonly openTunnel?: OpenTunnel;
  /** Joins participants to sessions that other gateways hold; absent: only sessions of this gateway can be joined. */
  readonly elsewhere?: Elsewhere;
  /** Where nodes send kernel events to be signed; absent: this gateway accepts none. */
  readonly events?: EventsWay;
}

export interface RunningGateway extends Running {
  /** Resolves when no session is live any more, after `ms`, or when `hurry` aborts. `close` then ends the remaining sessions. */
  drain(ms: number, hurry?: AbortSignal): Promise<void>;
  /** Takes a participant who connected to another gateway; `gateway` is the name in that gateway's certificate. */
  takeRelayed(socket: WebSocket, gateway: string): void;
  /** Takes an SSH connection that a viewer relays for a browser at `source`. */
  readonly acceptSsh: SshListener['accept'];
  /** Whether the gateway admits nobody and begins no sessions any more. */
  readonly draining: boolean;
}

/** Rejects PORT_TAKEN, USAGE for an invalid address, or as the authority does. */
export async function startGateway(
  { name, listen }: GatewayConfig,
  {
    authority,
    recorder,
    observe,
    hostKey,
    moreHostKeys = [],
    hostCertificate,
    onHostCertificate,
    tellLockEffects = async () => undefined,
    onSession = () => undefined,
    onSessionChanged = () => undefined,
    log,
    now,
    limits,
    arrivals,
    openTunnel = noTunnels,
    elsewhere,
    events,
    kube,
  }: GatewayDeps,
): Promise<RunningGateway> {
  await cryptoReady;
  const closing = new Set<Promise<void>>();
  let draining = false;
  const certificates = new SessionCertificates(authority, generateKey(), now);
  const certify = async (host: string, key: SshPrivateKey): Promise<Uint8Array> => {
    if (host === OWN_NAMES && key === hostKey) return hostCertificate();
    const own = host === OWN_NAMES ? formatPublicLine(hostCertificate()) : undefined;
    const line = await authority
      .hostCertificate(formatPublicLine(key.publicBlob), own === undefined ? host : name, own)
      .catch((error: unknown) => {
        // Clients that accept only this kind of key are then shown the plain key.
        if (key !== hostKey) log.warn({ err: error, host, key: key.type }, 'no host certificate for a further host key');
        throw error;
      });
    return parseAuthorizedLine(line).blob;
  };
  const hostKeys = new HostKeys(certify, [hostKey, ...moreHostKeys], now);
  const snapshot = (): Snapshot | null => {
    try {
      return authority.current();
    } catch {
      return null;
    }
  };
  const slots = new SessionSlots(authority, { run: randomBytes(8).toString('hex'), snapshot, log });
  const live = new LiveSessions({ audit: (entry) => recorder.audit(entry), changed: onSessionChanged, now });
  const registry = new SessionRegistry({
    name,
    now,
    onSession: (session, begins) => {
      const { about } = session;
      onSession(session.id, begins, about === null ? null : () => live.details(session, about));
    },
    onChanged: ({ id }) => onSessionChanged(id),
    audit: (entry) => recorder.audit(entry),
  });
  const track = (recording: Promise<void>): void => {
    closing.add(recording);
    void recording
      .catch((error: unknown) => log.error({ err: error }, 'closing a recording failed'))
      .finally(() => closing.delete(recording));
  };
  const admitting: Recorder = {
    // While draining, existing connections begin no further sessions either.
    open: (...session) => (draining ? Promise.reject(new StenoError('DRAINING')) : recorder.open(...session)),
    audit: (entry) => recorder.audit(entry),
    event: (event) => recorder.event(event),
    get eventsFull() {
      return recorder.eventsFull;
    },
    close: () => recorder.close(),
  };
  const listener = new SshListener({
    name,
    hostKeys,
    limits,
    arrivals,
    log,
    now,
    certificates,
    recorder: admitting,
    draining: () => draining,
    observe,
    openTunnel,
    events: events ?? null,
    elsewhere: elsewhere ?? null,
    confirmSession: (request, shown, signal) => authority.confirmSession(request, shown, signal),
    knownKeys: new KnownKeys(),
    slots,
    registry,
    live,
    snapshot,
    track,
  });
  const relayed = new RelayedJoins({
    snapshot,
    now,
    registry,
    live,
    draining: () => draining,
    confirmSession: (request, shown, signal) => authority.confirmSession(request, shown, signal),
    audit: (entry) => recorder.audit(entry),
    log,
  });
  const lockEffects = new LockEffectReporter(tellLockEffects, log);
  let signing = snapshot()?.signing.ssh_host;
  const stopRenewed = onHostCertificate?.(() => hostKeys.forget());
  const changes = new SnapshotChanges(snapshot());
  const stopWatching = authority.onChange((delta) => {
    const latest = snapshot();
    if (latest === null) return;
    const scope = changes.next(latest, delta, now());
    certificates.forget(scope);
    if (latest.signing.ssh_host !== signing) hostKeys.forget();
    signing = latest.signing.ssh_host;
    const ended = registry.recheck(latest, scope);
    if (scope.changed('locks') || ended.size > 0) lockEffects.applied(latest.locks, ended);
    if (scope.changed('roles')) slots.recheck();
  });
  lockEffects.applied(snapshot()?.locks ?? [], new Map());
  const address = await listener.listen(requireHostPort(listen));
  const kubeListener =
    kube === undefined
      ? undefined
      : await listenForKubernetes(
          {
            identity: kube.identity,
            upstreams: new Upstreams(kube.readUpstream, kube.openCluster),
            confirmations: new Confirmations({ ask: kube.askConfirmation, snapshot, now }),
            registry,
            snapshot,
            recorder: admitting,
            draining: () => draining,
            slots,
            observe,
            live,
            ...(kube.pods === undefined ? {} : { pods: kube.pods }),
            track,
            onChange: (callback) => authority.onChange(() => callback()),
            log: log.child({ part: 'kube' }),
            now,
            arrivals: kube.arrivals,
          },
          requireHostPort(kube.listen),
        );
  return {
    addresses: { ssh: address, ...(kubeListener === undefined ? {} : { kube: kubeListener.address }) },
    acceptSsh: (wire, source) => listener.accept(wire, source),
    get draining() {
      return draining;
    },
    async drain(ms, hurry) {
      draining = true;
      listener.stop();
      kubeListener?.stop();
      if (ms === 0 || hurry?.aborted === true) return;
      registry.notice(`this gateway is to stop; this session may go on for ${formatDuration(ms)}`);
      const over = new AbortController();
      const signal = hurry === undefined ? over.signal : AbortSignal.any([over.signal, hurry]);
      await Promise.race([registry.idle(), sleep(ms, undefined, { signal }).catch(() => undefined)]);
      over.abort();
    },
    takeRelayed: (socket, from) => relayed.take(socket, from),
    close: async () => {
      stopWatching();
      stopRenewed?.();
      lockEffects.close();
      await kubeListener?.close();
      await listener.close(new StenoError('DRAINING'));
      relayed.close();
      await slots.close();
      while (closing.size > 0) await Promise.allSettled([...closing]);
      await recorder.close();
    },
  };
}

function noTunnels(node: NodeRecord): never {
  throw new StenoError('NODE_UNREACHABLE', `${node.name} is behind a tunnel, and this gateway takes none`);
}
