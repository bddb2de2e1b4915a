/**
 * Where a TCP forwarding leads: reading what roles and clients write, and which addresses are the node itself or the
 * metadata service of its cloud.
 *
 * A host is an address in every spelling that getaddrinfo(3) takes for one (`literalAddress`), else a name. IPv6 addresses that carry an IPv4 address are both: a translator on the way makes
 * the one of the other. Tested in destination.test.ts,
 * and against the resolver of the machine in test/agent/destinations.test.ts.
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
 * `10.0.0.0/8`, `10.1.2.3:5432`, `fd00::/8`, `[fd00::1]:443`, `db.example.com:5432-5440`, `*.example.com`, `*:443`. Undefined for
 * what is none: an address in another spelling, a port out of range, a range that runs backwards.
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

/** What ends in a number is an address to a resolver, or nothing. */
function isHostName(name: string): boolean {
  return (
    name.length <= 253 &&
    /^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/.test(name) &&
    !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(name)
  );
}

/** A name as it is compared: lower case, without the dot of the root. */
export function nameOf(host: string): string {
  return host.toLowerCase().replace(/\.$/, '');
}

/** Whether a host that was asked for by name is the one of the pattern, or below it. */
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

/** Prefixes behind which an IPv4 address stands, in bytes, and where. */
const carriers: readonly (readonly [Block, number])[] = (
  [
    ['::/96', 12],
    ['::ffff:0:0:0/96', 12],
    ['64:ff9b::/96', 12],
    ['64:ff9b:1::/48', 12],
    ['2002::/16', 2],
  ] as const
).map(([block, at]) => [parseBlock(block)!, at] as const);

/** The address, and the IPv4 address that it carries for a translator or a tunnel. */
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
/** Linux takes the unspecified address for the loopback one. */
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

/** What is known of a name that only the node can resolve. */
export function classOfName(host: string): AddressClass | null {
  const name = nameOf(host);
  if (name === '' || isLoopbackName(name)) return 'loopback';
  return metadataNames.has(name) ? 'metadata' : null;
}
