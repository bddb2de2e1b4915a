/**
 * `/healthz`: the process runs. `/readyz`: it serves; 503 while it starts or drains, so that load balancers stop sending
 * connections. `/metrics`: the service's counters, if it has any. Plain HTTP that reveals nothing else; listen where only
 * probes can reach it. Tested in health.test.ts.
 */
import { createServer } from 'node:http';
import { formatHostPort, requireHostPort } from '#schemas/base/host-port.js';
import { listenAt } from '../http/listen.js';

export type Readiness = 'starting' | 'ready' | 'draining';

export interface Health {
  /** `host:port`. */
  readonly address: string;
  set(state: Readiness): void;
  measure(metrics: () => string): void;
  /** `serving`: false while the service runs but nothing takes its connections; it then counts as starting. */
  watch(serving: () => boolean): void;
  close(): Promise<void>;
}

const LIMIT_MS = 5_000;
const MAX_CONNECTIONS = 64;

/** Rejects with PORT_TAKEN. */
export async function startHealth(listen: string): Promise<Health> {
  let state: Readiness = 'starting';
  let metrics: (() => string) | undefined;
  let serving = (): boolean => true;
  const server = createServer({ requestTimeout: LIMIT_MS, headersTimeout: LIMIT_MS, keepAliveTimeout: LIMIT_MS }, (request, response) => {
    if (request.method === 'GET' && request.url === '/metrics' && metrics !== undefined) {
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' });
      response.end(metrics());
      return;
    }
    const now = state === 'ready' && !serving() ? 'starting' : state;
    const known = request.method === 'GET' || request.method === 'HEAD';
    const [code, text] =
      known && request.url === '/healthz'
        ? [200, 'ok']
        : known && request.url === '/readyz'
          ? [now === 'ready' ? 200 : 503, now]
          : [404, 'not found'];
    response.writeHead(code, { 'content-type': 'text/plain', 'cache-control': 'no-store' });
    response.end(`${text}\n`);
  });
  server.maxConnections = MAX_CONNECTIONS;
  const at = requireHostPort(listen);
  const { port } = await listenAt(server, at, () => undefined);
  return {
    address: formatHostPort({ host: at.host, port }),
    set(next) {
      state = next;
    },
    measure(next) {
      metrics = next;
    },
    watch(next) {
      serving = next;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
