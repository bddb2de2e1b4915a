/**
 * A stage's connection to the authority: the watch that keeps its snapshot fresh (snapshot-watch.ts), and calls over mutual
 * TLS. Tested in `authority/authority-client.test.ts`, against a real authority.
 */
import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { z } from 'zod';
import { reportLockEffects } from '#schemas/api/access/locks.js';
import { reportSessionPlaces, takeSessionPlace } from '#schemas/api/access/session-places.js';
import { respondToFinding } from '#schemas/api/detection/responses.js';
import { showClusterStatement } from '#schemas/api/inventory/clusters.js';
import { readKubeUpstream } from '#schemas/api/inventory/kube-clusters.js';
import {
  carryNodeRequest,
  challengeJoin,
  joinNode,
  listGateways,
  registerOwnNode,
  reportHeldNodes,
  showNodeTrust,
} from '#schemas/api/inventory/nodes.js';
import type { JoinResult, NodeRegistration } from '#schemas/api/inventory/nodes.js';
import { askConfirmation, askKubeConfirmation, showConfirmationState } from '#schemas/api/people/confirmations.js';
import type { KubeConfirmation, KubeConfirmationRequest, SessionConfirmationRequest } from '#schemas/api/people/confirmations.js';
import { endWebSession, showWebSession, signIn } from '#schemas/api/people/web-sessions.js';
import type { WebIdentity } from '#schemas/api/people/web-sessions.js';
import { issueHostCertificate, issueSessionCertificate, renewService } from '#schemas/api/services/certificates.js';
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import { acquireLease, listHeldLeases, releaseLease, renewLease } from '#schemas/api/services/leases.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { KubeUpstream } from '#schemas/kube/kube-cluster.js';
import type { SignedStatement } from '#schemas/documents/cluster.js';
import { CLIENT_ADDRESS_HEADER, WEB_SESSION_HEADER, call } from '#schemas/endpoint/endpoint.js';
import type { Send } from '#schemas/endpoint/endpoint.js';
import { readLiveSessions, showLiveSession } from '#schemas/api/inventory/live-sessions.js';
import type { LiveSessionDetails, LiveSessionHolder } from '#schemas/api/inventory/live-sessions.js';
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
  /** `https://host:port`; comma-separated if several authorities share one store, any of which may be used. */
  readonly url: string;
  readonly identity: ServiceIdentity;
}

export interface AuthorityClient {
  /** The last snapshot; throws NOT_RUNNING before the first one. */
  current(): Snapshot;
  /** Resolves with the first snapshot; rejects if closed before that, or with SERVICE_REMOVED. */
  ready(): Promise<void>;
  /** Resolves with SERVICE_REMOVED when this service is removed; it is then no longer connected to anything. */
  readonly removed: Promise<StenoError>;
  /** Called with every snapshot from now on; returns a function that stops this. */
  onChange(callback: SnapshotListener): () => void;
  /** Resolves to the certificate's blob. */
  sessionCertificate(request: SessionCertificateRequest): Promise<Buffer>;
  /**
   * Issues a certificate for a host key (a public key line) under the name of a node or of the caller. `host_certificate`:
   * the caller's existing certificate, whose further names the new one shall include. Resolves to the certificate's blob.
   */
  hostCertificate(request: { readonly public_key: string; readonly name: string; readonly host_certificate?: string }): Promise<Buffer>;
  /** Agents only: registers the address of the caller's own node. */
  registerNode(node: NodeRegistration): Promise<NodeRecord>;
  /** Gateways only. */
  readonly nodes: NodeCalls;
  /** Gateways only: connections to nodes, counted across all gateways. */
  readonly places: PlaceCalls;
  /** Ingests and analyzers: `stores/leases/contract.ts` over the authority; each run of the caller is a separate holder. */
  readonly leases: LeaseCalls;
  /** Gateways and viewers: which gateway holds a live session; null if none that is connected does. */
  liveSession(session: string): Promise<LiveSessionHolder | null>;
  /** The participants of these sessions; sessions that no connected gateway holds are left out. */
  liveSessions(sessions: readonly string[]): Promise<readonly LiveSessionDetails[]>;
  /** Viewers only: `host:port` of the gateways that are connected now, where services reach them. */
  gateways(): Promise<readonly string[]>;
  /** Gateways only: the address of a Kubernetes cluster and the credential for it. Rejects with NOT_FOUND. */
  kubeUpstream(cluster: string): Promise<{ readonly revision: number; readonly upstream: KubeUpstream }>;
  /** Gateways only: reports the sessions that locks ended here. */
  lockEffects(effects: readonly LockEffect[]): Promise<void>;
  /** Analyzers only: requests the response that the authority's policy prescribes for a finding. */
  respond(finding: string, body: ResponseRequest): Promise<ResponseAnswer>;
  /** Analyzers only: calls about rules and findings, `schemas/api/detection/`. */
  readonly detection: Send;
  /** Viewers only. */
  signIn(token: string, client?: string): Promise<WebIdentity>;
  webSession(token: string): Promise<WebIdentity>;
  clusterStatement(): Promise<SignedStatement>;
  signOut(token: string, client?: string): Promise<void>;
  /**
   * Gateways only: requests a second factor for a session. `shown` gets the address for the user to open; resolves with the
   * approval for the session certificate request. Rejects with SESSION_UNCONFIRMED if denied, late or aborted.
   */
  confirmSession(request: SessionConfirmationRequest, shown: (url: string) => void, signal: AbortSignal): Promise<string>;
  /** Gateways only: whether a user has confirmed requests to a Kubernetes cluster, or where they do. */
  confirmKube(request: KubeConfirmationRequest): Promise<KubeConfirmation>;
  /** Viewers only: sends calls on behalf of another client, passing on its address and web session. */
  relaying(who: { readonly session?: string | undefined; readonly client: string }): Send;
  close(): void;
}

export type ResponseRequest = z.output<typeof respondToFinding.body>;
export type ResponseAnswer = z.output<typeof respondToFinding.answer>;

export interface LeaseCalls {
  acquire(request: { readonly name: string; readonly holder: string; readonly ttlMs: number }): Promise<number | null>;
  renew(claim: { readonly name: string; readonly holder: string; readonly token: number; readonly ttlMs: number }): Promise<boolean>;
  release(claim: { readonly name: string; readonly holder: string; readonly token: number }): Promise<void>;
  held(prefix: string): Promise<readonly string[]>;
}

/** Both resolve to whether the authority knew this run of the gateway; if not, the gateway reports everything again. */
export interface PlaceCalls {
  /** Rejects with SESSIONS_TOO_MANY. */
  take(request: PlaceRequest): Promise<boolean>;
  tell(report: PlaceReport): Promise<boolean>;
}

/** Nodes that hold a tunnel, and live sessions: all of them at the beginning of a run, changes afterwards. */
export interface Held {
  readonly epoch: string;
  /** `host:port` at which agents reach the gateway. */
  readonly address: string;
  readonly all?: readonly string[];
  readonly up: readonly string[];
  readonly down: readonly string[];
  /** `ingest/name` of the ingest that receives its recordings; empty if none. */
  readonly ingest: string;
  readonly sessions?: {
    readonly up: readonly string[];
    readonly down: readonly string[];
    readonly details?: readonly LiveSessionDetails[];
  };
}

/** Calls that a gateway relays for joining machines and for nodes behind its tunnels. */
export interface NodeCalls {
  challenge(): Promise<unknown>;
  join(signed: SignedJoin, source: string): Promise<JoinResult>;
  signed(request: SignedNodeRequest): Promise<unknown>;
  trust(): Promise<SignedTrust>;
  /**
   * `known` false: the authority needs the full list. `gateways`: addresses at which agents reach the connected gateways.
   */
  held(held: Held): Promise<{ readonly known: boolean; readonly gateways: readonly string[] }>;
}

const CONFIRMATION_POLL_MS = 500;
/** Short, because the caller has alternatives and a person is waiting. */
const LIVE_SESSION_MS = 2_000;
const RESPONSE_MS = 10_000;

export function connectAuthority({ url, identity }: AuthorityClientConfig, { log }: { readonly log: Log }): AuthorityClient {
  const newAgent = (): Agent =>
    // Resumed TLS sessions would skip the check of the server's kind, so none are resumed.
    new Agent({ ...identity.tlsClientOptions(['authority']), keepAlive: true, maxSockets: 64, maxCachedSessions: 0 });
  let agent = newAgent();
  const stopRenewed = identity.onRenewed(() => {
    const old = agent;
    agent = newAgent();
    // Calls in progress finish on the old agent; its idle connections close.
    setTimeout(() => old.destroy(), 15_000).unref();
  });
  const places = url.split(',');
  let place = 0;
  /** A call that did not reach one authority goes to another; a refusal is final. */
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
  /** `headers`: for calls made on behalf of another client. */
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
      held: async (prefix) => (await call(send, listHeldLeases, { body: { prefix } })).names,
    },
    liveSession: (session) =>
      call(sending(undefined, { timeoutMs: LIVE_SESSION_MS }), showLiveSession, { params: { session } }).catch((error: unknown) => {
        if (error instanceof StenoError && error.code === 'NOT_FOUND') return null;
        throw error;
      }),
    liveSessions: (sessions) => call(sending(undefined, { timeoutMs: LIVE_SESSION_MS }), readLiveSessions, { body: { sessions } }),
    gateways: async () => (await call(sending(undefined, { timeoutMs: LIVE_SESSION_MS }), listGateways, {})).gateways,
    kubeUpstream: (name) => call(send, readKubeUpstream, { params: { name } }),
    lockEffects: async (effects) => {
      await call(send, reportLockEffects, { body: { effects } });
    },
    detection: send,
    respond: (finding, body) => call(sending(undefined, { timeoutMs: RESPONSE_MS }), respondToFinding, { params: { name: finding }, body }),
    webSession: (token) => call(sending(session(token)), showWebSession, {}),
    clusterStatement: () => call(send, showClusterStatement, {}),
    signOut: async (token, client) => {
      await call(sending({ ...session(token), ...from(client) }), endWebSession, {});
    },
    confirmSession: async (request, shown, signal) => {
      const { token, url: address, expires_at: until } = await call(send, askConfirmation, { body: request });
      shown(address);
      // The authority's clock decides when time is up; this limit only stops polling if that answer never comes.
      for (let rounds = Math.ceil((until - Date.now()) / CONFIRMATION_POLL_MS) + 20; rounds > 0 && !signal.aborted; rounds -= 1) {
        const { state } = await call(send, showConfirmationState, { body: { token } });
        if (state === 'approved') return token;
        if (state !== 'waiting')
          throw new StenoError('SESSION_UNCONFIRMED', state === 'denied' ? 'it was denied in the browser' : 'nobody confirmed it in time');
        await sleep(CONFIRMATION_POLL_MS, undefined, { signal }).catch(() => undefined);
      }
      throw new StenoError('SESSION_UNCONFIRMED', 'nobody confirmed it in time');
    },
    confirmKube: (request) => call(send, askKubeConfirmation, { body: request }),
    relaying: ({ session: token, client }) => sending({ ...(token === undefined ? {} : session(token)), ...from(client) }),
    close() {
      stopRenewed();
      identity.renewWith(undefined);
      watch.close();
      agent.destroy();
    },
  };
}
