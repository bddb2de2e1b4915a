/**
 * Connections that the node makes for a client, to where its roles allow.
 *
 * A name is resolved once; what it resolved to is asked of the rules, and only that is connected to, as the account
 * (account-sockets.ts): a name that stands for
 * another address a moment later gains nothing. The node's own addresses count as its loopback. Tested in
 * test/agent/destinations.test.ts.
 */
import { lookup } from 'node:dns/promises';
import type { LookupAddress } from 'node:dns';
import { networkInterfaces } from 'node:os';
import { permittedAddresses } from '#schemas/policy/forwarding.js';
import type { Asked, Forwarding } from '#schemas/policy/forwarding.js';

/** The rules leave nothing to connect to. */
export class ForbiddenDestination extends Error {}

/** Addresses to connect to, first the first; at least one. Rejects ForbiddenDestination, or what the resolver says. */
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
