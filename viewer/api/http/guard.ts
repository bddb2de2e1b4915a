/**
 * What every request passes before anything else looks at it.
 *
 * - Host: only the names this server is known by; a page of another site whose name resolves to this address
 *   (DNS rebinding) carries its own name and is refused.
 * - Origin: a request that changes something, or opens a WebSocket, with a cookie must come from our own pages (CSRF).
 * - Headers: the page may load and contact nothing but this server. `wasm-unsafe-eval` is for the player's terminal.
 * - Limiter: a fixed window per key, bounded in memory.
 *
 * Tested in guard.test.ts and viewer/api/main.test.ts.
 */
import { isIP } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { sourceKey } from '#schemas/base/ip-address.js';

export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

const loopbackNames = ['localhost', '127.0.0.1', '[::1]'];

/** The values of `Host` that are ours. On a loopback address its usual names count too. */
export function ownHosts(address: string, port: number, extra: readonly string[]): ReadonlySet<string> {
  const bare = address.includes(':') ? `[${address}]` : address;
  const names = loopbackNames.includes(bare) ? [bare, ...loopbackNames] : [bare];
  return new Set([...names.map((name) => `${name}:${port}`), ...extra.map((host) => host.toLowerCase())]);
}

export function checkHost(hosts: ReadonlySet<string>, host: string | undefined): void {
  if (host === undefined || !hosts.has(host.toLowerCase()))
    throw new StenoError('BAD_REQUEST', 'this server is not known by that host name');
}

/** `Origin` must name the very host the request went to. Browsers always send it with POST and WebSocket. */
export function checkOrigin(host: string | undefined, origin: string | undefined): void {
  const own = host?.toLowerCase();
  if (own === undefined || (origin !== `http://${own}` && origin !== `https://${own}`)) {
    throw new StenoError('ACCESS_DENIED', 'the request comes from another site');
  }
}

/**
 * The address of who asks. Behind a proxy of ours (`proxies`) it is the last address of X-Forwarded-For that is not
 * itself a proxy of ours: what stands before it anybody may have written.
 */
export function clientAddress(
  remote: string | undefined,
  forwarded: string | readonly string[] | undefined,
  proxies: ReadonlySet<string>,
): string {
  const peer = plainAddress(remote ?? '');
  if (!proxies.has(peer) || forwarded === undefined) return peer;
  const hops = (typeof forwarded === 'string' ? forwarded : forwarded.join(',')).split(',').map((hop) => plainAddress(hop.trim()));
  const hop = hops.reverse().find((address) => !proxies.has(address));
  return hop !== undefined && isIP(hop) !== 0 ? hop : peer;
}

/** A dual-stack socket reports IPv4 peers as IPv6. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
}

export class Limiter {
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #maxKeys: number;
  readonly #seen = new Map<string, { count: number; until: number }>();

  constructor(limit: number, windowMs: number, maxKeys = 10_000) {
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#maxKeys = maxKeys;
  }

  /** Throws TOO_MANY when `source` (an address; a /64 counts as one) came more often than the limit in its window. */
  take(source: string, now: number): void {
    const key = sourceKey(source);
    let entry = this.#seen.get(key);
    if (entry === undefined || entry.until <= now) {
      this.#seen.delete(key);
      // The map keeps insertion order, so the first key is the oldest window.
      if (this.#seen.size >= this.#maxKeys) this.#seen.delete(this.#seen.keys().next().value!);
      entry = { count: 0, until: now + this.#windowMs };
      this.#seen.set(key, entry);
    }
    entry.count += 1;
    if (entry.count > this.#limit) throw new StenoError('TOO_MANY');
  }
}
