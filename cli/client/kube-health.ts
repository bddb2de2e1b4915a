/**
 * Whether clusters answer, asked of each through the gateway as the user who wants to know: `/version` and `/readyz`, which every user of
 * a cluster may read there. Nothing is kept anywhere, and nobody learns of a cluster that they may not reach.
 *
 * Bounds: ASKED_AT_ONCE clusters at a time, PATIENCE_MS for each, MAX_ANSWER bytes. What a cluster says is validated before it is shown.
 * Tested in kube-health.test.ts, and test/kube/ with a real cluster.
 */
import { existsSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { isErrorCode } from '#schemas/base/errors.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import type { ErrorCode } from '#schemas/base/errors.js';
import { KUBE_HEARD_HEADER, KUBE_REFUSAL_HEADER, KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import type { Home, Profile } from './home.js';

/**
 * `not ready`: the API server answers, and says that it is not ready. `unreachable`: the gateway does not reach it. `refused`: the
 * gateway lets nobody, or not this user, reach it now. `unknown`: the gateway was not reached.
 */
export type KubeState = 'ready' | 'not ready' | 'unreachable' | 'refused' | 'unknown';

export interface KubeHealth {
  readonly state: KubeState;
  /** Version as the API server reports it, `v1.34.4`; null if it reported none. */
  readonly version: string | null;
  /** The gateway's error, where it refused or did not reach the cluster. */
  readonly reason: ErrorCode | null;
  /** ms since 1970: when the cluster answered, or when the gateway that was asked last heard from it. Null: not since that began. */
  readonly last_seen_at: number | null;
}

const ASKED_AT_ONCE = 8;
const PATIENCE_MS = 5_000;
const MAX_ANSWER = 65_536;
const UNKNOWN: KubeHealth = { state: 'unknown', version: null, reason: null, last_seen_at: null };
/** The gateway's refusals that mean that the cluster is unreachable. */
const away: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['KUBE_UNREACHABLE', 'NODE_UNREACHABLE']);

export interface KubeGateway {
  /** `host:port` */
  readonly address: string;
  /** PEM of the service CA, and of the user's certificate and key. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Null: the login left no certificate for TLS. */
export function gatewayOf({ dir }: Home, { service_ca: ca }: Pick<Profile, 'service_ca'>, address: string): KubeGateway | null {
  const [cert, key] = [join(dir, 'tls.pem'), join(dir, 'tls.key')];
  if (!existsSync(cert) || !existsSync(key)) return null;
  return { address, ca, cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
}

/** In the order of `clusters`. Never rejects. `patienceMs`: for each of them. */
export async function healthOf(
  gateway: KubeGateway,
  clusters: readonly string[],
  now: () => number = Date.now,
  patienceMs = PATIENCE_MS,
): Promise<readonly KubeHealth[]> {
  const found: KubeHealth[] = clusters.map(() => UNKNOWN);
  let next = 0;
  const ask = async (): Promise<void> => {
    for (let at = next++; at < clusters.length; at = next++) found[at] = await askOne(gateway, clusters[at]!, now, patienceMs);
  };
  await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, clusters.length) }, ask));
  return found;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly refusal: ErrorCode | null;
  readonly heardAt: number | null;
}

async function askOne(gateway: KubeGateway, cluster: string, now: () => number, patienceMs: number): Promise<KubeHealth> {
  const { host, port } = requireHostPort(gateway.address);
  const { ca, cert, key } = gateway;
  const agent = new Agent({ ca, cert, key, servername: KUBE_SERVER_NAME, minVersion: 'TLSv1.3', keepAlive: true, maxSockets: 1 });
  const signal = AbortSignal.timeout(patienceMs);
  const get = (path: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const asked = request({ agent, host, port, path: `/${cluster}${path}`, signal, headers: { accept: '*/*' } }, (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk;
          if (body.length > MAX_ANSWER) asked.destroy(new Error('an answer beyond the limit'));
        });
        answer.on('error', reject);
        answer.on('end', () => {
          const { [KUBE_REFUSAL_HEADER]: code, [KUBE_HEARD_HEADER]: heard } = answer.headers;
          const heardAt = typeof heard === 'string' && /^\d{1,15}$/.test(heard) ? Number(heard) : null;
          resolve({ status: answer.statusCode ?? 0, body, refusal: typeof code === 'string' && isErrorCode(code) ? code : null, heardAt });
        });
      });
      asked.on('error', reject);
      asked.end();
    });
  try {
    const version = await get('/version');
    if (version.refusal !== null) return refused(version);
    const ready = await get('/readyz');
    if (ready.refusal !== null) return refused(ready);
    // An agent whose API server is away answers for it, with a 503.
    const seen = version.status < 500 || ready.status < 500 ? now() : null;
    return { state: ready.status === 200 ? 'ready' : 'not ready', version: versionIn(version), reason: null, last_seen_at: seen };
  } catch {
    return UNKNOWN;
  } finally {
    agent.destroy();
  }
}

function refused({ refusal, heardAt }: Answer): KubeHealth {
  const state = refusal !== null && away.has(refusal) ? 'unreachable' : 'refused';
  return { state, version: null, reason: refusal, last_seen_at: heardAt };
}

/** Null if there is none, or if it was not reported. */
function versionIn({ status, body }: Answer): string | null {
  if (status !== 200) return null;
  try {
    const { gitVersion } = JSON.parse(body) as { readonly gitVersion?: unknown };
    return typeof gitVersion === 'string' && /^v?[0-9][0-9A-Za-z.+~-]{0,63}$/.test(gitVersion) ? gitVersion : null;
  } catch {
    return null;
  }
}
