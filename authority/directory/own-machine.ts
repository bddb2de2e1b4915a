/**
 * Nodes that are this authority's own machine, and the accounts on them that control Steno: the account that runs it, which
 * may open the owner's socket, the keys and the state, and root.
 *
 * Recognized are the node service started by `steno up`, which enrols over the owner's socket and holds no tunnel, and
 * OpenSSH servers registered under an address of this machine. A machine that joined by token is not recognized. Tested in
 * own-machine.test.ts.
 */
import { hostname, networkInterfaces, userInfo } from 'node:os';
import { holds, parseAddress, parseBlock } from '#schemas/base/ip-address.js';
import { parseHostPort } from '#schemas/base/host-port.js';
import type { NodeRecord } from '#schemas/policy/role.js';

export interface OwnMachine {
  /** Login of the account that runs the authority. */
  readonly owner: string;
  readonly hostname: string;
  readonly addresses: readonly string[];
}

export function ownMachine(): OwnMachine {
  return {
    owner: userInfo().username,
    hostname: hostname().toLowerCase(),
    addresses: Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
  };
}

export function markOwnAccounts(nodes: readonly NodeRecord[], machine: OwnMachine): readonly NodeRecord[] {
  const owners = [...new Set([machine.owner, 'root'])];
  const marked = nodes.map((node) => (isOwnMachine(node, machine) ? { ...node, owner_logins: owners } : node));
  return marked.some((node, i) => node !== nodes[i]) ? marked : nodes;
}

const loopback = ['127.0.0.0/8', '::1'].map((text) => parseBlock(text)!);

function isOwnMachine({ kind, address, tunnel_key: tunnel }: NodeRecord, machine: OwnMachine): boolean {
  if (tunnel !== undefined) return false;
  if (kind === 'agent') return true;
  const host = parseHostPort(address)?.host.toLowerCase() ?? '';
  const bytes = parseAddress(host);
  if (bytes === undefined) return host === 'localhost' || host.endsWith('.localhost') || host === machine.hostname;
  return loopback.some((block) => holds(block, bytes)) || machine.addresses.some((own) => parseAddress(own)?.join() === bytes.join());
}
