/**
 * API servers of Kubernetes clusters: how each is reached, with the credential that the authority told this gateway. Kept in
 * memory only, by the revision in the snapshot; what the snapshot no longer names is forgotten and its idle connections end.
 * Tested in upstreams.test.ts.
 */
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { StenoError } from '#schemas/base/errors.js';
import type { DirectUpstream, KubeClusterRecord, KubeUpstream } from '#schemas/kube/kube-cluster.js';
import type { KubeTarget } from '#schemas/kube/request-line.js';

/** As `request` of node:http. */
export type AskUpstream = (options: RequestOptions, answered?: (answer: IncomingMessage) => void) => ClientRequest;

export interface Upstream {
  /** Without a slash at its end. */
  readonly base: URL;
  readonly agent: HttpAgent;
  /** Of `http` where an agent inside the cluster is asked, through its tunnel. */
  readonly request: AskUpstream;
  /** When this gateway last got an answer of the API server that was no error of its own, ms since 1970; null: never at this address. */
  readonly heardAt: () => number | null;
  readonly tls: ConnectionOptions;
  /** `Authorization`, where the credential is a token. */
  readonly headers: Readonly<Record<string, string>>;
}

export type ReadUpstream = (cluster: string) => Promise<{ readonly revision: number; readonly upstream: KubeUpstream }>;

/** A stream to the agent inside a cluster, by its node. Throws NODE_UNREACHABLE. */
export type OpenCluster = (node: string, cluster: string) => Duplex;

const MAX_CONNECTIONS = 1_024;

export class Upstreams {
  readonly #read: ReadUpstream;
  readonly #openCluster: OpenCluster;
  readonly #known = new Map<string, { readonly revision: number; readonly upstream: Promise<Upstream> }>();

  /** `openCluster` left out: none is reached through an agent. */
  constructor(read: ReadUpstream, openCluster: OpenCluster = noTunnels) {
    this.#read = read;
    this.#openCluster = openCluster;
  }

  /** Rejects AUTHORITY_UNREACHABLE when the authority has to be asked and does not answer, KUBE_CLUSTER_UNKNOWN when it knows none. */
  of({ name, revision }: KubeClusterRecord): Promise<Upstream> {
    const known = this.#known.get(name);
    // An older snapshot may ask while a newer one is known: that is no reason to go back.
    if (known !== undefined && known.revision >= revision) return known.upstream;
    const upstream = this.#ask(name);
    const entry = { revision, upstream };
    this.#known.set(name, entry);
    upstream.catch(() => {
      if (this.#known.get(name) === entry) this.#known.delete(name);
    });
    if (known !== undefined) release(known.upstream);
    return upstream;
  }

  /** Forgets those that are no longer there. */
  retain(clusters: readonly KubeClusterRecord[]): void {
    const names = new Set(clusters.map(({ name }) => name));
    for (const [name, { upstream }] of this.#known) {
      if (names.has(name)) continue;
      this.#known.delete(name);
      release(upstream);
    }
  }

  close(): void {
    for (const { upstream } of this.#known.values()) upstream.then(({ agent }) => agent.destroy()).catch(() => undefined);
    this.#known.clear();
  }

  async #ask(name: string): Promise<Upstream> {
    try {
      const { upstream } = await this.#read(name);
      return 'node' in upstream ? inside(name, upstream.node, this.#openCluster) : connectable(upstream);
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      if (error.code === 'NOT_FOUND') throw new StenoError('KUBE_CLUSTER_UNKNOWN', name);
      throw error.code === 'NOT_RUNNING' ? new StenoError('AUTHORITY_UNREACHABLE', undefined, { cause: error }) : error;
    }
  }
}

function noTunnels(node: string): never {
  throw new StenoError('NODE_UNREACHABLE', `${node} is behind a tunnel, and this gateway takes none`);
}

/** A stream of a tunnel for each request: it costs no handshake. The agent there adds the credential. */
function inside(cluster: string, node: string, open: OpenCluster): Upstream {
  const agent = new HttpAgent();
  agent.createConnection = () => asSocket(open(node, cluster));
  return { base: new URL('http://kubernetes.default.svc'), agent, ...heard(httpRequest), tls: {}, headers: {} };
}

function heard(request: AskUpstream): Pick<Upstream, 'request' | 'heardAt'> {
  let at: number | null = null;
  return {
    request(options, answered) {
      const asked = request(options, answered);
      asked.on('response', ({ statusCode = 500 }) => {
        if (statusCode < 500) at = Date.now();
      });
      return asked;
    },
    heardAt: () => at,
  };
}

/** What stays open of a stream that this side has ended. */
const LINGER_MS = 3_000;

/** What Node's client of HTTP asks of sockets beyond streams. */
function asSocket(stream: Duplex): Duplex {
  stream.on('finish', () => setTimeout(() => stream.destroy(), LINGER_MS).unref());
  const itself = (): Duplex => stream;
  return Object.assign(stream, { setTimeout: itself, setNoDelay: itself, setKeepAlive: itself, ref: itself, unref: itself });
}

function connectable({ url, server_name: serverName, ca, credential }: DirectUpstream): Upstream {
  const tls: ConnectionOptions = {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ALPNProtocols: ['http/1.1'],
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(ca === undefined ? {} : { ca }),
    ...(credential.kind === 'certificate' ? { cert: credential.certificate, key: credential.key } : {}),
  };
  return {
    base: new URL(url.replace(/\/$/, '')),
    tls,
    ...heard(httpsRequest),
    agent: new Agent({ ...tls, keepAlive: true, maxSockets: MAX_CONNECTIONS, maxFreeSockets: 64 }),
    headers: credential.kind === 'token' ? { authorization: `Bearer ${credential.token}` } : {},
  };
}

/** Requests under way go on; idle connections end now, and the rest when their requests have. */
function release(upstream: Promise<Upstream>): void {
  upstream
    .then(({ agent }) => {
      for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
      agent.maxFreeSockets = 0;
    })
    .catch(() => undefined);
}

/** For the API server: its own address, the target below its base path, the gateway's credential. */
export function upstreamRequest(
  { base, agent, headers: credential }: Upstream,
  { path, query }: Pick<KubeTarget, 'path' | 'query'>,
  method: string,
  headers: RequestOptions['headers'],
): RequestOptions {
  return {
    agent,
    host: base.hostname.replace(/^\[|\]$/g, ''),
    port: base.port !== '' ? Number(base.port) : base.protocol === 'http:' ? 80 : 443,
    method,
    path: `${base.pathname === '/' ? '' : base.pathname}${path}${query === '' ? '' : `?${query}`}`,
    headers: { ...headers, ...credential },
  };
}
