/**
 * Destinations of TCP forwarding: parsing the destinations in roles and client requests, and recognizing the node itself and
 * its cloud's metadata service.
 *
 * A host is an address in any spelling that getaddrinfo(3) accepts as one (`literalAddress`), otherwise a name. IPv6
 * addresses that embed an IPv4 address count as both, since a translator may convert one into the other. Tested in
 * destination.test.ts, and against the resolver of the machine in test/agent/destinations.test.ts.
 */
import { isLoopbackName } from '../base/host-name.js';
import { holds, parseBlock } from '../base/ip-address.js';
import type { Address, Block } from '../base/ip-address.js';

/** One entry of `to` in a role. */
export type DestinationPattern = { readonly ports: readonly [number, number] } & (
  | { readonly kind: 'any' }
  | { readonly kind: 'block'; readonly block: Block }
  | { readonly kind: 'name'; readonly name: string; readonly below: boolean }
);

const EVERY_PORT = [0, 65_535] as const;

/**
 * `10.0.0.0/8`, `10.1.2.3:5432`, `fd00::/8`, `[fd00::1]:443`, `db.example.com:5432-5440`, `*.example.com`, `*:443`.
 * Undefined if invalid: an address in another spelling, a port out of range, a reversed range.
 */
export function parseDestination(text: string): DestinationPattern | undefined {
  const bare = parseBlock(text);
  if (bare !== undefined) return { kind: 'block', block: bare, ports: EVERY_PORT };
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\*|\d{1,5}(?:-\d{1,5})?))?$/.exec(text);
  if (match === null) return undefined;
  const ports = parsePorts(match[3] ?? '*');
  if (ports === undefined) return undefined;
  const host = match[1] ?? match[2]!;
  const block = parseBlock(host);
  if (match[1] !== undefined && (block === undefined || !host.includes(':'))) return undefined;
  if (block !== undefined) return { kind: 'block', block, ports };
  if (host === '*') return { kind: 'any', ports };
  const below = host.startsWith('*.');
  const name = nameOf(below ? host.slice(2) : host);
  return isHostName(name) ? { kind: 'name', name, below, ports } : undefined;
}

function parsePorts(text: string): readonly [number, number] | undefined {
  if (text === '*') return EVERY_PORT;
  const [first, last = first] = text.split('-').map(Number) as [number, number?];
  return first <= last && last <= 65_535 ? [first, last] : undefined;
}

/** To a resolver, a name that ends in a number is an address or invalid. */
function isHostName(name: string): boolean {
  return (
    name.length <= 253 &&
    /^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/.test(name) &&
    !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(name)
  );
}

/** A name in comparable form: lower case, without the trailing dot. */
export function nameOf(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}

/** Whether a requested host name equals the pattern's, or is below it. */
export function matchesName(pattern: DestinationPattern, host: string, port: number): boolean {
  if (!inRange(pattern, port) || pattern.kind !== 'name') return false;
  const name = nameOf(host);
  return pattern.below ? name.endsWith(`.${pattern.name}`) : name === pattern.name;
}

export function matchesAddress(pattern: DestinationPattern, address: Address, port: number): boolean {
  return inRange(pattern, port) && (pattern.kind === 'any' || (pattern.kind === 'block' && holds(pattern.block, address)));
}

function inRange({ ports: [first, last] }: DestinationPattern, port: number): boolean {
  return port >= first && port <= last;
}

/** Prefixes that embed an IPv4 address, with its offset in bytes. */
const carriers: readonly (readonly [Block, number])[] = (
  [
    ['::/96', 12],
    ['::ffff:0:0:0/96', 12],
    ['64:ff9b::/96', 12],
    ['64:ff9b:1::/48', 12],
    ['2002::/16', 2],
  ] as const
).map(([block, at]) => [parseBlock(block)!, at] as const);

/** The address, and the IPv4 address that it embeds for a translator or a tunnel. */
export function addressesIn(address: Address): readonly Address[] {
  const carried = carriers.filter(([block]) => holds(block, address)).map(([, at]) => address.slice(at, at + 4));
  const isatap = address.length === 16 && address.slice(9, 12).join() === '0,94,254' ? [address.slice(12)] : [];
  return [address, ...carried, ...isatap];
}

const blocks = (...texts: readonly string[]): readonly Block[] => texts.map((text) => parseBlock(text)!);

/**
 * Link-local addresses, where clouds have their metadata services, and those services that are elsewhere: Amazon (IPv6), Google
 * (IPv6), Scaleway (IPv6), Alibaba, Oracle (classic), Azure's wire server.
 */
const metadata = blocks(
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::/32',
  'fd20:ce::/32',
  'fd00:42::/32',
  '100.100.100.200',
  '192.0.0.192',
  '168.63.129.16',
);
/** Linux treats the unspecified address as loopback. */
const loopback = blocks('127.0.0.0/8', '0.0.0.0/8', '::1', '::');

/** `loopback`: the node itself. `metadata`: link-local, or a cloud's metadata service. */
export type AddressClass = 'loopback' | 'metadata';

/** `own`: further addresses of the node. */
export function classesOf(address: Address, own: readonly Address[] = []): ReadonlySet<AddressClass> {
  const all = addressesIn(address);
  const inside = (list: readonly Block[]): boolean => list.some((block) => all.some((one) => holds(block, one)));
  const classes = new Set<AddressClass>();
  if (inside(metadata)) classes.add('metadata');
  if (inside(loopback) || own.some((mine) => all.some((one) => one.join() === mine.join()))) classes.add('loopback');
  return classes;
}

const metadataNames: ReadonlySet<string> = new Set([
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'instance-data',
  'instance-data.ec2.internal',
  'metadata.azure.internal',
  'metadata.tencentyun.com',
]);

/** The class of a name that only the node can resolve. */
export function classOfName(host: string): AddressClass | null {
  const name = nameOf(host);
  if (name === '' || isLoopbackName(name)) return 'loopback';
  return metadataNames.has(name) ? 'metadata' : null;
}
