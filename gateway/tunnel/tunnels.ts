/**
 * The tunnels that agents hold to this gateway: found by node, judged again when nodes change, and told to the authority
 * (../presence.ts).
 *
 *     arrives ──known, by its key──► held ──node removed, joined anew, silence, closed──► gone
 *
 * A node may hold several (it was cut off and is back): the newest one carries what is new, the others what they have.
 * Tested in test/agent/tunnel.test.ts.
 */
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { nodeIn } from '#schemas/watch.js';
import type { Log } from '#runtime/log.js';
import type { Mux } from '#runtime/tunnel/mux.js';
import type { Wire } from '../edge/socket-wire.js';
import { TunnelWire } from './stream-wire.js';

export interface TunnelsDeps {
  /** Whether a node holds a tunnel here, when that changes. */
  readonly held: (node: string, held: boolean) => void;
  readonly log: Log;
}

interface Tunnel {
  readonly node: string;
  readonly key: string;
  readonly mux: Mux;
}

export class Tunnels {
  readonly #deps: TunnelsDeps;
  readonly #byNode = new Map<string, Tunnel[]>();
  #nodes: Snapshot['nodes'] | undefined;

  constructor(deps: TunnelsDeps) {
    this.#deps = deps;
  }

  get count(): number {
    let count = 0;
    for (const { length } of this.#byNode.values()) count += length;
    return count;
  }

  /** The way to a node. Throws NODE_UNREACHABLE. */
  open(node: NodeRecord, source: string): Wire {
    const tunnel = this.#byNode.get(node.name)?.at(-1);
    if (tunnel === undefined || tunnel.key !== node.tunnel_key)
      throw new StenoError('NODE_UNREACHABLE', `no agent of ${node.name} holds a tunnel to this gateway`);
    return new TunnelWire(tunnel.mux, source);
  }

  add(node: string, key: string, mux: Mux): void {
    const held = this.#byNode.get(node);
    if (held !== undefined) this.#deps.log.info({ node, tunnels: held.length + 1 }, 'a node holds more than one tunnel');
    if (held === undefined) this.#byNode.set(node, [{ node, key, mux }]);
    else held.push({ node, key, mux });
    if (held === undefined) this.#deps.held(node, true);
  }

  remove(node: string, mux: Mux): void {
    const held = this.#byNode.get(node);
    const left = held?.filter((tunnel) => tunnel.mux !== mux) ?? [];
    if (held === undefined || left.length === held.length) return;
    if (left.length > 0) return void this.#byNode.set(node, left);
    this.#byNode.delete(node);
    this.#deps.held(node, false);
  }

  /** Ends the tunnels of nodes that are gone or have joined with another key. */
  recheck(snapshot: Snapshot): void {
    if (snapshot.nodes === this.#nodes) return;
    this.#nodes = snapshot.nodes;
    for (const tunnels of [...this.#byNode.values()]) {
      for (const { node, key, mux } of [...tunnels])
        if (nodeIn(snapshot.nodes, node)?.tunnel_key !== key) mux.close('this node was removed');
    }
  }

  /** To every agent that holds one. */
  control(message: object): void {
    for (const tunnels of this.#byNode.values()) for (const { mux } of tunnels) mux.control(message);
  }

  close(): void {
    for (const tunnels of [...this.#byNode.values()]) for (const { mux } of [...tunnels]) mux.close('this gateway ends');
  }
}
