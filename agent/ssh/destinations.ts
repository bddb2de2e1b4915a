/**
 * Connections that the node makes for a client, to destinations that its roles allow.
 *
 * A name is resolved once; the rules are applied to the resulting addresses, and only those are connected to, as the account
 * (account-sockets.ts), so a name that changes its address a moment later gains nothing. The node's own addresses count as
 * its loopback. Tested in test/agent/destinations.test.ts.
 */
import { lookup } from 'node:dns/promises';
import type { LookupAddress } from 'node:dns';
import { networkInterfaces } from 'node:os';
import { permittedAddresses } from '#schemas/policy/forwarding.js';
import type { Asked, Forwarding } from '#schemas/policy/forwarding.js';

/** The rules allow none of the addresses. */
export class ForbiddenDestination extends Error {}

/**
 * Addresses to connect to, in order of preference; at least one. Rejects with ForbiddenDestination or the resolver's error.
 */
export async function permittedDestinations(
  rules: Forwarding,
  { host, port }: Asked,
  resolve: typeof resolveAll = resolveAll,
  own: () => readonly string[] = ownAddresses,
): Promise<readonly string[]> {
  if (port < 0 || port > 65_535) throw new ForbiddenDestination(`there is no port ${port}`);
  const found = (await resolve(host === '' ? 'localhost' : host)).map(({ address }) => address);
  const permitted = new Set(permittedAddresses(rules, { host, port }, found, own()));
  const addresses = found.filter((address) => permitted.has(address));
  if (addresses.length === 0) throw new ForbiddenDestination(`no role allows port forwarding to ${host}:${port}`);
  return addresses;
}

function resolveAll(host: string): Promise<readonly LookupAddress[]> {
  return lookup(host, { all: true });
}

function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
