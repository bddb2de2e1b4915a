/**
 * The `source-address` critical option: a comma-separated list of IPv4 and IPv6 addresses and CIDR blocks.
 *
 * IPv4-mapped IPv6 (`::ffff:192.0.2.1`, as a dual-stack socket reports) is compared as the IPv4 address, in the list and in
 * the caller's address. A list with a malformed entry, or with a block whose host bits are not zero, matches nothing, as in
 * OpenSSH (addr.c).
 *
 * Tested in `source-address.test.ts`.
 */
import { holds, parseAddress, parseBlock } from '../base/ip-address.js';

const maxListLength = 8192;

/** True only if the whole list is well-formed and one of its blocks holds the address. */
export function matchesSourceAddress(list: string, address: string): boolean {
  if (list.length > maxListLength) return false;
  const blocks = list.split(',').map(parseBlock);
  // A link-local peer is reported with its interface: fe80::1%eth0.
  const caller = parseAddress(address);
  if (caller === undefined || blocks.includes(undefined)) return false;
  return blocks.some((block) => block !== undefined && holds(block, caller));
}
