/**
 * Host names as understood by the programs that dial them: which spellings mean the same host.
 *
 * `ssh` compares names without case; resolvers drop a final dot; and to inet_aton(3), which every `getaddrinfo` asks first,
 * `127.1`, `0x7f.1`, `017700000001` and `2130706433` are 127.0.0.1. Purely textual, without a resolver: a DNS name and its
 * address are different hosts. Tested in host-name.test.ts with a generator of spellings.
 */
import { holds, literalAddress, parseAddress, parseBlock } from './ip-address.js';

/** One canonical text for all spellings of a name or address. Brackets around IPv6 and zones (`%eth0`) are ignored. */
export function canonicalHost(text: string): string {
  let plain = text.toLowerCase();
  // These may be nested in any order: repeat until none is left.
  for (let before = ''; before !== plain;) {
    before = plain;
    plain = plain
      .replace(/^\[([^\]]*)\]$/, '$1')
      .replace(/%[^\]]*/, '')
      .replace(/\.+$/, '');
  }
  const bytes = literalAddress(plain);
  if (bytes === undefined) return plain;
  if (bytes.length === 4) return bytes.join('.');
  return Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16)).join(':');
}

/**
 * Names that common systems give to loopback addresses in `/etc/hosts`, beside `localhost` and everything below it (RFC
 * 6761).
 */
const loopbackNames: ReadonlySet<string> = new Set([
  'localhost',
  'localhost4',
  'localhost6',
  'localhost.localdomain',
  'localhost4.localdomain4',
  'localhost6.localdomain6',
  'ip6-localhost',
  'ip6-loopback',
]);

const loopback = [parseBlock('127.0.0.0/8')!, parseBlock('::1')!];
const unspecified = [parseBlock('0.0.0.0/8')!, parseBlock('::')!];

/** Whether a name, in lower case and without a final dot, means the machine itself. */
export function isLoopbackName(name: string): boolean {
  return loopbackNames.has(name) || name.endsWith('.localhost');
}

/**
 * Whether the name or address may mean the machine itself, wherever it is dialled; 0.0.0.0 and `::` do on Linux. Use it for
 * refusals and exclusions; for permissions use `isSurelyLoopback`.
 */
export function isLoopbackHost(text: string): boolean {
  const host = canonicalHost(text);
  const address = literalAddress(host);
  return isLoopbackName(host) || (address !== undefined && [...loopback, ...unspecified].some((block) => holds(block, address)));
}

/**
 * Whether it means the machine itself and nothing else, whatever files and resolvers say: 127.0.0.0/8, `::1`, or
 * `localhost`.
 */
export function isSurelyLoopback(text: string): boolean {
  const host = canonicalHost(text);
  const address = literalAddress(host);
  return host === 'localhost' || (address !== undefined && loopback.some((block) => holds(block, address)));
}

/** A DNS name or an IP address, without anything that could hide a pattern or a second name. */
export function isHostName(text: string): boolean {
  return (
    isAddress(text) ||
    (text.length <= 253 && /^[a-zA-Z0-9]([a-zA-Z0-9-]{0,62}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,62}[a-zA-Z0-9])?)*$/.test(text))
  );
}

/** Only IPv6 may have a zone (RFC 4007). */
function isAddress(text: string): boolean {
  const bare = text.replace(/%[0-9a-zA-Z.:-]+$/, '');
  return !bare.includes('%') && parseAddress(bare) !== undefined && (bare === text || bare.includes(':'));
}
