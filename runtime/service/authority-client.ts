/**
 * A stage's connection to the authority: the watch that keeps its snapshot fresh (snapshot-watch.ts), and calls over mutual
 * TLS. Tested in `authority/authority-client.test.ts`, against a real authority.
 */
import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { reportLockEffects } from '#schemas/api/access/locks.js';
import { reportSessionPlaces, takeSessionPlace } from '#schemas/api/access/session-places.js';
import { showClusterStatement } from '#schemas/api/inventory/clusters.js';
import { readKubeUpstream } from '#schemas/api/inventory/kube-clusters.js';
import {
  carryNodeRequest,
  challengeJoin,
  joinNode,
  registerOwnNode,
  reportHeldNodes,
  showNodeTrust,
} from '#schemas/api/inventory/nodes.js';
import type { JoinResult, NodeRegistration } from '#schemas/api/inventory/nodes.js';
import { askConfirmation, showConfirmationState } from '#schemas/api/people/confirmations.js';
import type { SessionConfirmationRequest } from '#schemas/api/people/confirmations.js';
import { endWebSession, showWebSession, signIn } from '#schemas/api/people/web-sessions.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { issueHostCertificate, issueSessionCertificate, renewService } from '#schemas/api/services/certificates.js';
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import { acquireLease, releaseLease, renewLease } from '#schemas/api/services/leases.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { KubeUpstream } from '#schemas/kube/kube-cluster.js';
import type { SignedStatement } from '#schemas/documents/cluster.js';
import { CLIENT_ADDRESS_HEADER, WEB_SESSION_HEADER, call } from '#schemas/endpoint/endpoint.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { showLiveSession } from '#schemas/api/inventory/live-sessions.js';
import type { LiveSessionHolder } from '#schemas/api/inventory/live-sessions.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SignedJoin, SignedNodeRequest, SignedTrust } from '#schemas/join.js';
import type { LockEffect } from '#schemas/lock-effect.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { PlaceReport, PlaceRequest } from '#schemas/session-place.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { callAuthority } from './authority-http.js';
import type { AuthorityCall } from './authority-http.js';
import type { Log } from '../log.js';
import type { ServiceIdentity } from './identity.js';
import { SnapshotWatch } from './snapshot-watch.js';
import type { SnapshotListener } from './snapshot-watch.js';

export interface AuthorityClientConfig {
  /** `https://host:port`; several, with commas, where authorities share one store: any of them will do. */
  readonly url: string;
  readonly identity: ServiceIdentity;
}

export interface AuthorityClient {
  /** The last snapshot; throws NOT_RUNNING while there was none yet. */
  current(): Snapshot;
  /** Resolves with the first snapshot; rejects when closed before, and SERVICE_REMOVED. */
  ready(): Promise<void>;
  /** Resolves with SERVICE_REMOVED when this service is removed: it is connected to nobody any more. */
  readonly removed: Promise<StenoError>;
  /** Called with every snapshot from now on; returns how to stop. */
  onChange(callback: SnapshotListener): () => void;
  /** The certificate's blob. */
  sessionCertificate(request: SessionCertificateRequest): Promise<Buffer>;
  /**
   * For a host key, as public key line, under the name of a node or of the caller. `host_certificate`: the caller's own, whose
   * other names this one shall have too. The certificate's blob.
   */
  hostCertificate(request: { readonly public_key: string; readonly name: string; readonly host_certificate?: string }): Promise<Buffer>;
  /** Agents only: says where the caller's own node is. */
  registerNode(node: NodeRegistration): Promise<NodeRecord>;
  /** Gateways only. */
  readonly nodes: NodeCalls;
  /** Gateways only: connections to nodes, which count over all gateways. */
  readonly places: PlaceCalls;
  /** Ingest only: `stores/leases/contract.ts` over the authority; a holder is a run of the caller. */
  readonly leases: LeaseCalls;
  /** Gateways and viewers: who holds a live session; null while nobody that is there does. */
  liveSession(session: string): Promise<LiveSessionHolder | null>;
  /** Gateways only: how a Kubernetes cluster is reached, with the credential for it. Rejects NOT_FOUND. */
  kubeUpstream(cluster: string): Promise<{ readonly revision: number; readonly upstream: KubeUpstream }>;
  /** Gateways only: what locks have ended here. */
  lockEffects(effects: readonly LockEffect[]): Promise<void>;
  /** Viewers only. */
  signIn(token: string, client?: string): Promise<WebIdentity>;
  webSession(token: string): Promise<WebIdentity>;
  clusterStatement(): Promise<SignedStatement>;
  signOut(token: string, client?: string): Promise<void>;
  /**
   * Gateways only: asks for a second factor for a session. `shown` is told the address that the user opens; resolves with
   * what goes into the request of the session certificate. Rejects SESSION_UNCONFIRMED when it is denied, late or aborted.
   */
  confirmSession(request: SessionConfirmationRequest, shown: (url: string) => void, signal: AbortSignal): Promise<string>;
  /** Viewers only: calls that somebody else makes, whose address and web session go along. */
  relaying(who: { readonly session?: string | undefined; readonly client: string }): Send;
  close(): void;
}

export interface LeaseCalls {
  acquire(request: { readonly name: string; readonly holder: string; readonly ttlMs: number }): Promise<number | null>;
  renew(claim: { readonly name: string; readonly holder: string; readonly token: number; readonly ttlMs: number }): Promise<boolean>;
  release(claim: { readonly name: string; readonly holder: string; readonly token: number }): Promise<void>;
}

/** Both answer whether the authority knew the gateway's run: else it is told everything again. */
export interface PlaceCalls {
  /** Rejects SESSIONS_TOO_MANY. */
  take(request: PlaceRequest): Promise<boolean>;
  tell(report: PlaceReport): Promise<boolean>;
}

/** Nodes that hold a tunnel, and live sessions: all nodes at the beginning of a run, else what has changed. */
export interface Held {
  readonly epoch: string;
  /** Where agents reach the gateway, `host:port`. */
  readonly address: string;
  readonly all?: readonly string[];
  readonly up: readonly string[];
  readonly down: readonly string[];
  /** `ingest/name` of the ingest that takes its recordings; empty for none. */
  readonly ingest: string;
  readonly sessions?: { readonly up: readonly string[]; readonly down: readonly string[] };
}

/** What a gateway carries for machines that join and for nodes behind its tunnels. */
export interface NodeCalls {
  challenge(): Promise<unknown>;
  join(signed: SignedJoin, source: string): Promise<JoinResult>;
  signed(request: SignedNodeRequest): Promise<unknown>;
  trust(): Promise<SignedTrust>;
  /** `known` false: the authority wants to hear of all. `gateways`: where agents reach those that are there. */
  held(held: Held): Promise<{ readonly known: boolean; readonly gateways: readonly string[] }>;
}

const CONFIRMATION_POLL_MS = 500;
/** Who asks has other ways, and a person waits. */
const LIVE_SESSION_MS = 2_000;

export function connectAuthority({ url, identity }: AuthorityClientConfig, { log }: { readonly log: Log }): AuthorityClient {
  const newAgent = (): Agent =>
    // Resumed sessions skip the check of the server's kind, so none is resumed.
    new Agent({ ...identity.tlsClientOptions(['authority']), keepAlive: true, maxSockets: 64, maxCachedSessions: 0 });
  let agent = newAgent();
  const stopRenewed = identity.onRenewed(() => {
    const old = agent;
    agent = newAgent();
    // Calls under way end on the old one; idle connections of it go.
    setTimeout(() => old.destroy(), 15_000).unref();
  });
  const places = url.split(',');
  let place = 0;
  /** What an authority that is away has not heard, another is asked; what one refused stands. */
  const ask = async (what: AuthorityCall): Promise<unknown> => {
    for (let tried = 1; ; tried += 1) {
      const chosen = place;
      try {
        return await callAuthority({ kind: 'tls', url: places[chosen]!, agent }, what);
      } catch (error) {
        if (tried >= places.length || !(error instanceof StenoError) || error.code !== 'NOT_RUNNING') throw error;
        if (place === chosen) place = (chosen + 1) % places.length;
      }
    }
  };
  /** `headers`: of a call that is somebody else's. */
  const sending =
    (headers?: Readonly<Record<string, string>>, options: Pick<AuthorityCall, 'timeoutMs'> = {}): Send =>
    (method, target, body) =>
      ask({ method, target, ...options, ...(body === undefined ? {} : { body }), ...(headers === undefined ? {} : { headers }) });
  const send = sending();
  identity.renewWith((body) => call(send, renewService, { body }));

  const watch = new SnapshotWatch(
    places.map((each) => `${each.replace(/^https:/, 'wss:')}/v1/watch`),
    identity,
    log,
  );
  watch.onChange((snapshot) => identity.follow({ ...snapshot, fleet: snapshot.nodes.length }));
  const blobOf = ({ certificate }: { readonly certificate: string }): Buffer => Buffer.from(parseAuthorizedLine(certificate).blob);
  const session = (token: string): Readonly<Record<string, string>> => ({ [WEB_SESSION_HEADER]: token });
  const from = (client: string | undefined): Readonly<Record<string, string>> =>
    client === undefined ? {} : { [CLIENT_ADDRESS_HEADER]: client };
  return {
    current: () => watch.current(),
    ready: () => watch.ready,
    removed: watch.removed,
    onChange: (callback) => watch.onChange(callback),
    sessionCertificate: async (body) => blobOf(await call(send, issueSessionCertificate, { body })),
    hostCertificate: async (body) => blobOf(await call(send, issueHostCertificate, { body })),
    registerNode: (body) => call(send, registerOwnNode, { body }),
    signIn: (token, client) => call(sending(from(client)), signIn, { body: { token } }),
    nodes: {
      challenge: () => call(send, challengeJoin, { body: {} }),
      join: (signed, source) => call(send, joinNode, { body: { signed, source } }),
      signed: (body) => call(send, carryNodeRequest, { body }),
      trust: () => call(send, showNodeTrust, {}),
      held: (body) => call(send, reportHeldNodes, { body }),
    },
    places: {
      take: async (body) => (await call(send, takeSessionPlace, { body })).known,
      tell: async (body) => (await call(send, reportSessionPlaces, { body })).known,
    },
    leases: {
      acquire: async ({ name, holder: run, ttlMs: ttl_ms }) => (await call(send, acquireLease, { body: { name, run, ttl_ms } })).token,
      renew: async ({ name, holder: run, token, ttlMs: ttl_ms }) =>
        (await call(send, renewLease, { body: { name, run, token, ttl_ms } })).held,
      release: async ({ name, holder: run, token }) => {
        await call(send, releaseLease, { body: { name, run, token } });
      },
    },
    liveSession: (session) =>
      call(sending(undefined, { timeoutMs: LIVE_SESSION_MS }), showLiveSession, { params: { session } }).catch((error: unknown) => {
        if (error instanceof StenoError && error.code === 'NOT_FOUND') return null;
        throw error;
      }),
    kubeUpstream: (name) => call(send, readKubeUpstream, { params: { name } }),
    lockEffects: async (effects) => {
      await call(send, reportLockEffects, { body: { effects } });
    },
    webSession: (token) => call(sending(session(token)), showWebSession, {}),
    clusterStatement: () => call(send, showClusterStatement, {}),
    signOut: async (token, client) => {
      await call(sending({ ...session(token), ...from(client) }), endWebSession, {});
    },
    confirmSession: async (request, shown, signal) => {
      const { token, url: address, expires_at: until } = await call(send, askConfirmation, { body: request });
      shown(address);
      // The authority's clock says when it is over; this one only ends asking if that answer never comes.
      for (let rounds = Math.ceil((until - Date.now()) / CONFIRMATION_POLL_MS) + 20; rounds > 0 && !signal.aborted; rounds -= 1) {
        const { state } = await call(send, showConfirmationState, { body: { token } });
        if (state === 'approved') return token;
        if (state !== 'waiting')
          throw new StenoError('SESSION_UNCONFIRMED', state === 'denied' ? 'it was denied in the browser' : 'nobody confirmed it in time');
        await sleep(CONFIRMATION_POLL_MS, undefined, { signal }).catch(() => undefined);
      }
      throw new StenoError('SESSION_UNCONFIRMED', 'nobody confirmed it in time');
    },
    relaying: ({ session: token, client }) => sending({ ...(token === undefined ? {} : session(token)), ...from(client) }),
    close() {
      stopRenewed();
      identity.renewWith(undefined);
      watch.close();
      agent.destroy();
    },
  };
}
