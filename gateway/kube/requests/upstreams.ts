/**
 * The API servers of Kubernetes clusters: address and credential of each, as the authority gave them to this gateway. Kept in memory
 * only, by the revision in the snapshot; a cluster that the snapshot no longer names is forgotten and its idle connections end.
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

/** The same as `request` of node:http. */
export type AskUpstream = (options: RequestOptions, answered?: (answer: IncomingMessage) => void) => ClientRequest;

export interface Upstream {
  /** Without a trailing slash. */
  readonly base: URL;
  readonly agent: HttpAgent;
  /** `http.request` if the server is reached through the tunnel of an agent inside the cluster. */
  readonly request: AskUpstream;
  /** Time of the API server's last answer that was not a server error, ms since 1970; null: none at this address yet. */
  readonly heardAt: () => number | null;
  readonly tls: ConnectionOptions;
  /** `Authorization` if the credential is a token. */
  readonly headers: Readonly<Record<string, string>>;
}

export type ReadUpstream = (cluster: string) => Promise<{ readonly revision: number; readonly upstream: KubeUpstream }>;

/** Opens a stream to the agent inside a cluster, by the agent's node. Throws NODE_UNREACHABLE. */
export type OpenCluster = (node: string, cluster: string) => Duplex;

const MAX_CONNECTIONS = 1_024;

export class Upstreams {
  readonly #read: ReadUpstream;
  readonly #openCluster: OpenCluster;
  readonly #known = new Map<string, { readonly revision: number; readonly upstream: Promise<Upstream> }>();

  /** `openCluster` absent: no cluster is reached through an agent. */
  constructor(read: ReadUpstream, openCluster: OpenCluster = noTunnels) {
    this.#read = read;
    this.#openCluster = openCluster;
  }

  /**
   * Rejects AUTHORITY_UNREACHABLE if the authority must be asked and does not answer, KUBE_CLUSTER_UNKNOWN if it does not know the cluster.
   */
  of({ name, revision }: KubeClusterRecord): Promise<Upstream> {
    const known = this.#known.get(name);
    // A request under an older snapshot may ask while a newer revision is known: keep the newer one.
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

  /** Forgets clusters that no longer exist. */
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

/** Uses one tunnel stream per request, which costs no handshake. The agent adds the credential. */
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

/** A stream that this side has ended is destroyed after this many milliseconds. */
const LINGER_MS = 3_000;

/** Adds the socket methods that Node's HTTP client calls. */
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

/** Running requests continue; idle connections end now, and the others when their requests have ended. */
function release(upstream: Promise<Upstream>): void {
  upstream
    .then(({ agent }) => {
      for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
      agent.maxFreeSockets = 0;
    })
    .catch(() => undefined);
}

/** Request options for the API server: its address, the target below its base path, the gateway's credential. */
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
