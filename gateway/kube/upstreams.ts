/**
 * API servers of Kubernetes clusters: how each is reached, with the credential that the authority told this gateway. Kept in
 * memory only, by the revision in the snapshot; what the snapshot no longer names is forgotten and its idle connections end.
 * Tested in upstreams.test.ts.
 */
import { Agent } from 'node:https';
import type { ConnectionOptions } from 'node:tls';
import { StenoError } from '#schemas/base/errors.js';
import type { KubeClusterRecord, KubeUpstream } from '#schemas/kube/kube-cluster.js';

export interface Upstream {
  /** Without a slash at its end. */
  readonly base: URL;
  readonly agent: Agent;
  readonly tls: ConnectionOptions;
  /** `Authorization`, where the credential is a token. */
  readonly headers: Readonly<Record<string, string>>;
}

export type ReadUpstream = (cluster: string) => Promise<{ readonly revision: number; readonly upstream: KubeUpstream }>;

const MAX_CONNECTIONS = 1_024;

export class Upstreams {
  readonly #read: ReadUpstream;
  readonly #known = new Map<string, { readonly revision: number; readonly upstream: Promise<Upstream> }>();

  constructor(read: ReadUpstream) {
    this.#read = read;
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
      return connectable((await this.#read(name)).upstream);
    } catch (error) {
      if (!(error instanceof StenoError)) throw error;
      if (error.code === 'NOT_FOUND') throw new StenoError('KUBE_CLUSTER_UNKNOWN', name);
      throw error.code === 'NOT_RUNNING' ? new StenoError('AUTHORITY_UNREACHABLE', undefined, { cause: error }) : error;
    }
  }
}

function connectable({ url, server_name: serverName, ca, credential }: KubeUpstream): Upstream {
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
