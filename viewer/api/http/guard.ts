/**
 * Checks applied to every request before anything else handles it.
 *
 * - Host: only this server's own names are accepted; a page of another site whose name resolves to this address
 *   (DNS rebinding) sends its own name and is refused.
 * - Origin: a request that changes something, or opens a WebSocket, with a cookie must come from our own pages (CSRF).
 * - Headers: the page may load and contact nothing but this server. `wasm-unsafe-eval` is for the player's terminal.
 * - Limits: counters per address and in total, bounded in memory.
 *
 * Tested in guard.test.ts and viewer/api/main.test.ts.
 */
import { isIP } from 'node:net';
import '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import helmet from 'helmet';
import { StenoError } from '#schemas/base/errors.js';
import { sourceKey, unmappedAddress } from '#schemas/base/ip-address.js';

/** Strict-Transport-Security is left to the proxy that has the certificate: the header binds every port of the host for a year. */
export const securityHeaders = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      'default-src': ["'none'"],
      'script-src': ["'self'", "'wasm-unsafe-eval'"],
      'style-src': ["'self'"],
      'img-src': ["'self'", 'data:'],
      'font-src': ["'self'"],
      'connect-src': ["'self'"],
      'base-uri': ["'none'"],
      'form-action': ["'none'"],
      'frame-ancestors': ["'none'"],
    },
  },
  strictTransportSecurity: false,
  xFrameOptions: { action: 'deny' },
});
/** Helmet does not set this header. */
export const PERMISSIONS_POLICY = 'camera=(), geolocation=(), microphone=(), payment=(), usb=()';

declare module 'fastify' {
  interface FastifyContextConfig {
    readonly fromOtherSites?: boolean;
  }
}
/**
 * `config` of routes that accept requests from pages and servers of other sites: these are authorized by their content, not by a
 * cookie.
 */
export const fromOtherSites = { fromOtherSites: true } as const;

const loopbackNames = ['localhost', '127.0.0.1', '[::1]'];

/** The accepted values of `Host`. For a loopback address, the usual loopback names are accepted too. */
export function ownHosts(address: string, port: number, extra: readonly string[]): ReadonlySet<string> {
  const bare = address.includes(':') ? `[${address}]` : address;
  const names = loopbackNames.includes(bare) ? [bare, ...loopbackNames] : [bare];
  return new Set([...names.map((name) => `${name}:${port}`), ...extra.map((host) => host.toLowerCase())]);
}

export function checkHost(hosts: ReadonlySet<string>, host: string | undefined): void {
  if (host === undefined || !hosts.has(host.toLowerCase()))
    throw new StenoError('BAD_REQUEST', 'this server is not known by that host name');
}

/** `Origin` must name the host to which the request was sent. Browsers always send it with POST and WebSocket. */
export function checkOrigin(host: string | undefined, origin: string | undefined): void {
  const own = host?.toLowerCase();
  if (own === undefined || (origin !== `http://${own}` && origin !== `https://${own}`)) {
    throw new StenoError('ACCESS_DENIED', 'the request comes from another site');
  }
}

/**
 * The client's address. Behind trusted proxies (`trustProxy`) fastify takes the last address of X-Forwarded-For that is not itself such
 * a proxy: anybody may have written the entries before it. An entry that is not an address is ignored.
 */
export function sourceAddress({ ip, socket }: Pick<FastifyRequest, 'ip' | 'socket'>): string {
  const address = isIP(ip) === 0 ? (socket.remoteAddress ?? '') : ip;
  // A dual-stack socket reports IPv4 peers as IPv6.
  return unmappedAddress(address);
}

export interface Limits {
  /** Limit per address; a /64 of IPv6 counts as one. */
  readonly address?: number;
  /** Limit for all clients together. */
  readonly all?: number;
}

const WINDOW_MS = 60_000;

/**
 * Counts requests per minute once their headers have arrived, before a body is read, and refuses those over a limit with TOO_MANY.
 * Counters of the 5,000 most recent addresses are kept. Routes that share a limit share the returned hook.
 */
export function limited(app: FastifyInstance, { address, all }: Limits): onRequestAsyncHookHandler {
  const counters = [
    ...(address === undefined ? [] : [{ max: address, keyGenerator: (request: FastifyRequest) => sourceKey(sourceAddress(request)) }]),
    ...(all === undefined ? [] : [{ max: all, keyGenerator: () => '' }]),
  ].map((counter) => app.createRateLimit({ ...counter, timeWindow: WINDOW_MS }));
  return async (request, reply) => {
    for (const count of counters) {
      const state = await count(request);
      if (state.isAllowed || !state.isExceeded) continue;
      void reply.header('retry-after', state.ttlInSeconds);
      throw new StenoError('TOO_MANY');
    }
  };
}
