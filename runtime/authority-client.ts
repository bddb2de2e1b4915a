/**
 * A stage's connection to the authority: the watch that keeps its snapshot fresh, and calls over mutual TLS.
 *
 *     connecting ──snapshot──► current ──closed──► away (the last snapshot still counts) ──backoff──► connecting
 *
 * While the authority is away, stages decide by the last snapshot: admission goes on, what needs a signature does not.
 * The authority pings every ten seconds; silence for thirty is a lost connection. Tested in
 * `authority/authority-client.test.ts`, against a real authority.
 */
import { Agent } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type {
  Enrolment,
  JoinResult,
  NodeRegistration,
  SessionCertificateRequest,
  SessionConfirmation,
  SessionConfirmationRequest,
  Snapshot,
  WebIdentity,
} from '#schemas/api.js';
import type { SignedStatement } from '#schemas/cluster.js';
import { CLIENT_ADDRESS_HEADER } from '#schemas/api.js';
import { StenoError } from '#schemas/errors.js';
import type { SignedJoin, SignedNodeRequest, SignedTrust } from '#schemas/join.js';
import type { NodeRecord } from '#schemas/role.js';
import type { PlaceReport, PlaceRequest } from '#schemas/session-place.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { callAuthority } from './authority-http.js';
import type { AuthorityCall } from './authority-http.js';
import type { Log } from './log.js';
import { keptRoles } from './request-auth.js';
import type { ServiceIdentity } from './service-identity.js';

export interface AuthorityClientConfig {
  /** `https://host:port`; several, with commas, where authorities share one store: any of them will do. */
  readonly url: string;
  readonly identity: ServiceIdentity;
}

export interface AuthorityClient {
  /** The last snapshot; throws NOT_RUNNING while there was none yet. */
  current(): Snapshot;
  /** Resolves with the first snapshot; rejects when closed before. */
  ready(): Promise<void>;
  /** Called with every snapshot from now on; returns how to stop. */
  onChange(callback: (snapshot: Snapshot) => void): () => void;
  /** The certificate's blob. */
  sessionCertificate(request: SessionCertificateRequest): Promise<Buffer>;
  /** For a host key, as public key line, under the name of a node or of the caller. The certificate's blob. */
  hostCertificate(request: { readonly public_key: string; readonly name: string }): Promise<Buffer>;
  /** Agents only: says where the caller's own node is. */
  registerNode(node: NodeRegistration): Promise<NodeRecord>;
  /** Gateways only. */
  readonly nodes: NodeCalls;
  /** Gateways only: connections to nodes, which count over all gateways. */
  readonly places: PlaceCalls;
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
  /** Viewers only: a call that somebody else makes, whose address and web session go along. */
  relay(call: AuthorityCall & { readonly session?: string; readonly client: string }): Promise<unknown>;
  close(): void;
}

/** Both answer whether the authority knew the gateway's run: else it is told everything again. */
export interface PlaceCalls {
  /** Rejects SESSIONS_TOO_MANY. */
  take(request: PlaceRequest): Promise<boolean>;
  tell(report: PlaceReport): Promise<boolean>;
}

/** What a gateway carries for machines that join and for nodes behind its tunnels. */
export interface NodeCalls {
  challenge(): Promise<unknown>;
  join(signed: SignedJoin, source: string): Promise<JoinResult>;
  signed(request: SignedNodeRequest): Promise<unknown>;
  trust(): Promise<SignedTrust>;
  /** Which nodes hold a tunnel. `known` false: the authority wants to hear of all. `gateways`: where agents reach those that are there. */
  held(held: object): Promise<{ readonly known: boolean; readonly gateways: readonly string[] }>;
}

const CONFIRMATION_POLL_MS = 500;
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5_000;
const SILENCE_MS = 30_000;
const MAX_SNAPSHOT = 64 << 20;

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
  const call = async (what: AuthorityCall): Promise<unknown> => {
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
  identity.renewWith(async (body) => (await call({ method: 'POST', target: '/v1/renew', body })) as Enrolment);

  const watch = new SnapshotWatch(
    places.map((each) => `${each.replace(/^https:/, 'wss:')}/v1/watch`),
    identity,
    log,
  );
  watch.onChange((snapshot) => identity.follow({ ...snapshot, fleet: snapshot.nodes.length }));
  const certificate = async (target: string, body: unknown): Promise<Buffer> =>
    Buffer.from(parseAuthorizedLine(((await call({ method: 'POST', target, body })) as { certificate: string }).certificate).blob);
  const session = (token: string): Readonly<Record<string, string>> => ({ 'x-steno-web-session': token });
  const from = (client: string | undefined): Readonly<Record<string, string>> =>
    client === undefined ? {} : { [CLIENT_ADDRESS_HEADER]: client };
  return {
    current: () => watch.current(),
    ready: () => watch.ready,
    onChange: (callback) => watch.onChange(callback),
    sessionCertificate: (request) => certificate('/v1/session-certificate', request),
    hostCertificate: (request) => certificate('/v1/host-certificate', request),
    registerNode: async (node) => (await call({ method: 'PUT', target: '/v1/nodes/self', body: node })) as NodeRecord,
    signIn: async (token, client) =>
      (await call({ method: 'POST', target: '/v1/sign-in', body: { token }, headers: from(client) })) as WebIdentity,
    nodes: {
      challenge: () => call({ method: 'POST', target: '/v1/nodes/challenge', body: {} }),
      join: async (signed, source) => (await call({ method: 'POST', target: '/v1/nodes/join', body: { signed, source } })) as JoinResult,
      signed: (request) => call({ method: 'POST', target: '/v1/nodes/signed', body: request }),
      trust: async () => (await call({ method: 'GET', target: '/v1/nodes/trust' })) as SignedTrust,
      held: async (held) => (await call({ method: 'PUT', target: '/v1/nodes/held', body: held })) as { known: boolean; gateways: string[] },
    },
    places: {
      take: async (request) => ((await call({ method: 'POST', target: '/v1/session-places', body: request })) as { known: boolean }).known,
      tell: async (report) => ((await call({ method: 'PUT', target: '/v1/session-places', body: report })) as { known: boolean }).known,
    },
    webSession: async (token) => (await call({ method: 'GET', target: '/v1/web-session', headers: session(token) })) as WebIdentity,
    clusterStatement: async () => (await call({ method: 'GET', target: '/v1/cluster-statement' })) as SignedStatement,
    signOut: async (token, client) => {
      await call({ method: 'DELETE', target: '/v1/web-session', headers: { ...session(token), ...from(client) } });
    },
    confirmSession: async (request, shown, signal) => {
      const {
        token,
        url: address,
        expires_at: until,
      } = (await call({ method: 'POST', target: '/v1/session-confirmations', body: request })) as SessionConfirmation;
      shown(address);
      // The authority's clock says when it is over; this one only ends asking if that answer never comes.
      for (let rounds = Math.ceil((until - Date.now()) / CONFIRMATION_POLL_MS) + 20; rounds > 0 && !signal.aborted; rounds -= 1) {
        const { state } = (await call({ method: 'POST', target: '/v1/session-confirmations/state', body: { token } })) as { state: string };
        if (state === 'approved') return token;
        if (state !== 'waiting')
          throw new StenoError('SESSION_UNCONFIRMED', state === 'denied' ? 'it was denied in the browser' : 'nobody confirmed it in time');
        await sleep(CONFIRMATION_POLL_MS, undefined, { signal }).catch(() => undefined);
      }
      throw new StenoError('SESSION_UNCONFIRMED', 'nobody confirmed it in time');
    },
    relay: ({ session: token, client, ...what }) =>
      call({ ...what, headers: { ...(token === undefined ? {} : session(token)), ...from(client) } }),
    close() {
      stopRenewed();
      identity.renewWith(undefined);
      watch.close();
      agent.destroy();
    },
  };
}

class SnapshotWatch {
  readonly ready: Promise<void>;
  readonly #urls: readonly string[];
  #attempt = 0;
  readonly #identity: ServiceIdentity;
  readonly #log: Log;
  readonly #listeners = new Set<(snapshot: Snapshot) => void>();
  #settle: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  #snapshot: Snapshot | undefined;
  #socket: WebSocket | undefined;
  #backoff = FIRST_BACKOFF_MS;
  #timer: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(urls: readonly string[], identity: ServiceIdentity, log: Log) {
    this.#urls = urls;
    this.#identity = identity;
    this.#log = log;
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    // Who does not wait for it does not care that it never came.
    this.ready.catch(() => undefined);
    this.#connect();
  }

  current(): Snapshot {
    if (this.#snapshot === undefined) throw new StenoError('NOT_RUNNING', 'nothing was heard of the authority yet');
    return this.#snapshot;
  }

  onChange(callback: (snapshot: Snapshot) => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#socket?.terminate();
    this.#settle?.reject(new StenoError('NOT_RUNNING', 'closed before anything was heard of the authority'));
    this.#listeners.clear();
  }

  #connect(): void {
    if (this.#closed) return;
    const socket = new WebSocket(this.#urls[this.#attempt % this.#urls.length]!, {
      ...this.#identity.tlsClientOptions(['authority']),
      maxPayload: MAX_SNAPSHOT,
      perMessageDeflate: false,
      handshakeTimeout: 10_000,
    });
    this.#socket = socket;
    const heard = (): void => {
      clearTimeout(this.#silence);
      this.#silence = setTimeout(() => socket.terminate(), SILENCE_MS);
      this.#silence.unref();
    };
    socket.on('open', heard);
    socket.on('ping', heard);
    socket.on('message', (data: Buffer) => {
      heard();
      this.#take(data, socket);
    });
    socket.on('error', (error) => this.#log.debug({ err: error }, 'the watch on the authority failed'));
    socket.on('close', () => {
      clearTimeout(this.#silence);
      if (this.#closed) return;
      this.#attempt += 1;
      this.#timer = setTimeout(() => this.#connect(), this.#backoff * (0.5 + Math.random() / 2));
      this.#backoff = Math.min(this.#backoff * 2, LONGEST_BACKOFF_MS);
    });
  }

  #take(data: Buffer, socket: WebSocket): void {
    let snapshot: Snapshot;
    try {
      const heard = JSON.parse(data.toString('utf8')) as Snapshot;
      snapshot = { ...heard, roles: keptRoles(this.#snapshot?.roles, heard.roles) };
    } catch {
      socket.terminate();
      return;
    }
    this.#backoff = FIRST_BACKOFF_MS;
    this.#snapshot = snapshot;
    this.#settle?.resolve();
    this.#settle = undefined;
    for (const listener of this.#listeners) {
      try {
        listener(snapshot);
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of the snapshot failed');
      }
    }
  }
}
