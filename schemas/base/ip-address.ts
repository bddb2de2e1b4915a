/**
 * IP addresses and blocks as bytes: the common parser for all code that compares addresses.
 *
 * Configured values are parsed strictly: dotted IPv4 without leading zeros, IPv6 as in RFC 4291 section 2.2. Hosts to be
 * dialled are parsed as a resolver does (`literalAddress`). IPv4-mapped IPv6 (`::ffff:192.0.2.1`, as a dual-stack socket
 * reports) is the IPv4 address. Tested in ip-address.test.ts and ssh/source-address.test.ts, and against the resolver of the
 * machine in test/agent/destinations.test.ts.
 */

/** Four or sixteen bytes in network order. */
export type Address = readonly number[];

export interface Block {
  readonly bytes: Address;
  readonly bits: number;
}

/** Undefined if it is not an address. A zone (`fe80::1%eth0`) is dropped. */
export function parseAddress(text: string): Address | undefined {
  const bytes = parseUnmapped(text.replace(/%[^%]*$/, ''));
  return bytes === undefined ? undefined : (mapped(bytes) ?? bytes);
}

/** The address that getaddrinfo(3) derives from this spelling without a lookup; undefined for a name. */
export function literalAddress(host: string): Address | undefined {
  return parseAddress(host) ?? numericIpv4(host);
}

/** `ADDRESS` or `ADDRESS/BITS`; undefined if it is neither, or if bits after the prefix are not zero. */
export function parseBlock(text: string): Block | undefined {
  const [address = '', prefix, ...more] = text.split('/');
  if (more.length > 0) return undefined;
  const written = parseUnmapped(address);
  if (written === undefined) return undefined;
  if (prefix !== undefined && !/^(0|[1-9]\d{0,2})$/.test(prefix)) return undefined;
  const writtenBits = prefix === undefined ? written.length * 8 : Number(prefix);
  if (writtenBits > written.length * 8) return undefined;
  const isMapped = mapped(written) !== undefined && writtenBits >= 96;
  const bytes = isMapped ? written.slice(12) : written;
  const bits = isMapped ? writtenBits - 96 : writtenBits;
  return bytes.every((byte, i) => (byte & ~mask(bits, i)) === 0) ? { bytes, bits } : undefined;
}

export function holds(block: Block, address: Address): boolean {
  if (block.bytes.length !== address.length) return false;
  return block.bytes.every((byte, i) => ((byte ^ (address[i] ?? 0)) & mask(block.bits, i)) === 0);
}

/**
 * A peer's address as reported by its socket, `''` if it is already closed: dual-stack sockets report IPv4 as mapped IPv6.
 */
export function peerAddress({ remoteAddress = '' }: { readonly remoteAddress?: string | undefined }): string {
  return unmappedAddress(remoteAddress);
}

/** Turns `::ffff:192.0.2.1` into `192.0.2.1`; returns anything else unchanged. */
export function unmappedAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}

/**
 * The unit that counts as one source: an IPv4 address, or the /64 of an IPv6 address, which one subscriber gets and can use
 * up. Returns the text itself if it is not an address.
 */
export function sourceKey(text: string): string {
  const bytes = parseAddress(text);
  if (bytes === undefined) return text;
  if (bytes.length === 4) return bytes.join('.');
  return `${bytes
    .slice(0, 8)
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')}/64`;
}

/** The part of byte `i` that a prefix of `bits` bits covers. */
function mask(bits: number, i: number): number {
  const covered = Math.min(8, Math.max(0, bits - 8 * i));
  return 0xff & (0xff << (8 - covered));
}

function mapped(bytes: Address): Address | undefined {
  const isMapped = bytes.length === 16 && bytes.every((byte, i) => i >= 12 || byte === (i >= 10 ? 0xff : 0));
  return isMapped ? bytes.slice(12) : undefined;
}

function parseUnmapped(text: string): Address | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Address | undefined {
  const parts = text.split('.');
  // No leading zeros: `010` is ten to some programs and eight to others.
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

/**
 * inet_aton(3) as in glibc: one to four numbers, decimal, octal after `0`, hexadecimal after `0x`, with any number of
 * leading zeros; the last one fills the remaining bytes. A bare `0x` is not a number, and text after a space, which
 * inet_aton ignores, is refused by getaddrinfo.
 */
function numericIpv4(text: string): Address | undefined {
  const parts = text.split('.');
  if (parts.length > 4) return undefined;
  const numbers = parts.map((part) => {
    if (/^0x[0-9a-f]+$/i.test(part)) return Number.parseInt(part.slice(2), 16);
    if (/^0[0-7]*$/.test(part)) return Number.parseInt(part, 8);
    return /^[1-9]\d*$/.test(part) ? Number(part) : NaN;
  });
  const last = numbers.pop()!;
  if (!numbers.every((number) => number <= 255) || !(last < 256 ** (4 - numbers.length))) return undefined;
  const rest = Array.from({ length: 4 - numbers.length }, (_, i) => Math.floor(last / 256 ** (3 - numbers.length - i)) % 256);
  return [...numbers, ...rest];
}

function parseIpv6(text: string): Address | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => parseGroups(half, i === halves.length - 1));
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  // `::` stands for at least one group of zeros.
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

function parseGroups(half: string, mayEndInIpv4: boolean): Address | undefined {
  if (half === '') return [];
  const groups = half.split(':');
  const bytes: number[] = [];
  for (const [i, group] of groups.entries()) {
    if (mayEndInIpv4 && i === groups.length - 1 && group.includes('.')) {
      const ipv4 = parseIpv4(group);
      if (ipv4 === undefined) return undefined;
      bytes.push(...ipv4);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else {
      return undefined;
    }
  }
  return bytes;
}
