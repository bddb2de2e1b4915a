/**
 * The `source-address` critical option: a comma-separated list of IPv4 and IPv6 addresses and CIDR blocks.
 *
 * IPv4-mapped IPv6 (`::ffff:192.0.2.1`, what a dual-stack socket reports) is compared as the IPv4 address it is,
 * in the list as well as in the caller's address. A list with one entry that cannot be read, or with a block whose
 * host bits are not zero, matches nothing: OpenSSH (addr.c) does the same.
 *
 * Tested in `source-address.test.ts`.
 */
interface Block {
  /** Four or sixteen bytes. */
  readonly bytes: readonly number[];
  readonly bits: number;
}

const maxListLength = 8192;

/** True only if the whole list is well-formed and one of its blocks holds the address. */
export function matchesSourceAddress(list: string, address: string): boolean {
  if (list.length > maxListLength) return false;
  const blocks = list.split(',').map(parseBlock);
  // A link-local peer is reported with its interface: fe80::1%eth0.
  const caller = parseAddress(address.replace(/%[^%]*$/, ''));
  if (caller === undefined || blocks.includes(undefined)) return false;
  return blocks.some((block) => block !== undefined && holds(block, caller));
}

function holds(block: Block, caller: readonly number[]): boolean {
  if (block.bytes.length !== caller.length) return false;
  return block.bytes.every((byte, i) => ((byte ^ (caller[i] ?? 0)) & mask(block.bits, i)) === 0);
}

/** The part of byte `i` that a prefix of `bits` bits covers. */
function mask(bits: number, i: number): number {
  const covered = Math.min(8, Math.max(0, bits - 8 * i));
  return 0xff & (0xff << (8 - covered));
}

function parseBlock(text: string): Block | undefined {
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

function parseAddress(text: string): readonly number[] | undefined {
  const bytes = parseUnmapped(text);
  return bytes === undefined ? undefined : (mapped(bytes) ?? bytes);
}

function mapped(bytes: readonly number[]): readonly number[] | undefined {
  const isMapped = bytes.length === 16 && bytes.every((byte, i) => i >= 12 || byte === (i >= 10 ? 0xff : 0));
  return isMapped ? bytes.slice(12) : undefined;
}

function parseUnmapped(text: string): readonly number[] | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): readonly number[] | undefined {
  const parts = text.split('.');
  // No leading zeros: `010` is ten to some programs and eight to others.
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte <= 255) ? bytes : undefined;
}

function parseIpv6(text: string): readonly number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => parseGroups(half, i === halves.length - 1));
  if (head === undefined) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  // `::` stands for at least one group of zeros.
  if (tail === undefined || head.length + tail.length > 14) return undefined;
  return [...head, ...Array<number>(16 - head.length - tail.length).fill(0), ...tail];
}

function parseGroups(half: string, mayEndInIpv4: boolean): readonly number[] | undefined {
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
