/**
 * Prevents collisions between the host names of gateways and nodes. Every path that issues a host certificate or assigns a
 * node name calls this module, inside its transaction.
 *
 * Names are compared in every spelling that reaches the same host (schemas/base/host-name.ts). A gateway reserves the names in its
 * certificates when it enrols and when it renews, until 30 days later. Names of the loopback interface are reserved always,
 * since on every machine they mean that machine. Transactions are serializable: if a gateway and a node ask for one name at
 * the same time, one of them is refused. Tested in host-names.test.ts on every path, with a generator of spellings.
 */
import { canonicalHost, isLoopbackHost } from '#schemas/base/host-name.js';
import { StenoError } from '#schemas/base/errors.js';
import { isGatewayPrincipal, stripDomain } from '#schemas/base/identity.js';
import { isHostName } from '#schemas/base/host-name.js';
import { hostPrincipals } from '../../ca/certificates.js';
import type { Tx } from '../../records/records.js';

const KEPT_MS = 30 * 86_400_000;

/** Throws NODE_NAME_RESERVED. `principals`: of the node's present or future host certificate. */
export async function assertNodeNames(
  tx: Tx,
  node: string,
  now: number,
  principals: readonly string[] = hostPrincipals({ name: node }),
): Promise<void> {
  // Users may write `web.steno` for `web`: a node named `web.steno` could not be reached, and its certificate would be valid
  // for `web`.
  if (stripDomain(node) !== node) throw new StenoError('NODE_NAME_RESERVED', `${node} is another way to write ${stripDomain(node)}`);
  const odd = principals.find((name) => !isHostName(name) && !isNodeName(name, node));
  if (odd !== undefined) throw new StenoError('NODE_NAME_RESERVED', JSON.stringify(odd));
  const own = principals.find(isLoopbackHost);
  if (own !== undefined) throw new StenoError('NODE_NAME_RESERVED', `${own} is a name of the loopback interface`);
  const taken = await tx
    .selectFrom('gateway_names')
    .selectAll()
    .where('name', 'in', principals.map(canonicalHost))
    .where('until', '>', now)
    .executeTakeFirst();
  if (taken !== undefined) throw new StenoError('NODE_NAME_RESERVED', `${taken.name} is a name of the gateway ${taken.gateway}`);
  const exported = await exportedHosts(tx);
  const told = principals.find((name) => exported.has(canonicalHost(name)));
  if (told !== undefined) throw new StenoError('NODE_NAME_RESERVED', `${told} is a gateway address exported to other clusters`);
}

/** Throws GATEWAY_NAME_TAKEN if a node has one of the names. `whose`: the requester, for the detail. */
export async function assertNoNodeNamed(tx: Tx, hosts: readonly string[], whose: string): Promise<void> {
  // Nodes of older versions may have loopback names; they get no further certificates, so they must not keep gateways from
  // starting.
  const wanted = new Set(hosts.filter((host) => !isLoopbackHost(host)).map(canonicalHost));
  if (wanted.size === 0) return;
  const nodes = await tx.selectFrom('nodes').select('name').execute();
  const taken = nodes.find(({ name }) => hostPrincipals({ name }).some((principal) => wanted.has(canonicalHost(principal))));
  if (taken !== undefined) throw new StenoError('GATEWAY_NAME_TAKEN', `${whose} asks for a name of the node ${taken.name}`);
}

/** Reserves the names for the gateway. Throws GATEWAY_NAME_TAKEN if a node has one that the gateway does not hold yet. */
export async function claimGatewayNames(tx: Tx, gateway: string, principals: readonly string[], now: number): Promise<void> {
  const names = [...new Set(principals.filter((name) => !isGatewayPrincipal(name)).map(canonicalHost))];
  const held = await tx.selectFrom('gateway_names').select('name').where('gateway', '=', gateway).where('until', '>', now).execute();
  // Names already held are not checked again: if a node of an older version has one, the node gets no further certificates.
  await assertNoNodeNamed(
    tx,
    names.filter((name) => !held.some((one) => one.name === name)),
    `the gateway ${gateway}`,
  );
  await tx.deleteFrom('gateway_names').where('until', '<=', now).execute();
  for (const name of names) {
    await tx
      .insertInto('gateway_names')
      .values({ gateway, name, until: now + KEPT_MS })
      .onConflict((on) => on.columns(['gateway', 'name']).doUpdateSet({ until: now + KEPT_MS }))
      .execute();
  }
}

/** Hosts of the gateway addresses published by `steno clusters export`. */
async function exportedHosts(tx: Tx): Promise<ReadonlySet<string>> {
  const row = await tx.selectFrom('own_cluster').select('gateways').executeTakeFirst();
  return new Set(row === undefined ? [] : (JSON.parse(row.gateways) as string[]).map((address) => canonicalHost(hostOf(address))));
}

/** The host in `host:port` or `[IPv6]:port`. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}

/** Node names may contain characters that DNS names cannot, such as `_`. */
function isNodeName(principal: string, node: string): boolean {
  return hostPrincipals({ name: node }).includes(principal);
}
