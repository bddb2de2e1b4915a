/**
 * The tunnels that agents hold to this gateway: looked up by node, re-evaluated when nodes change, and reported to the
 * authority (../presence.ts).
 *
 *     arrives ──known, by its key──► held ──node removed, joined anew, silence, closed──► gone
 *
 * A node may hold several (it lost its connection and is back): new streams use the newest one; the others keep their
 * existing streams. Tested in test/agent/tunnel.test.ts.
 */
import type { Duplex } from 'node:stream';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { OpenStream } from '#schemas/tunnel.js';
import { nodeIn } from '#schemas/watch.js';
import type { Log } from '#runtime/log.js';
import { TunnelDuplex } from '#runtime/tunnel/duplex.js';
import { Chunks } from '#runtime/tunnel/mux.js';
import type { Mux } from '#runtime/tunnel/mux.js';
import type { Wire } from '../edge/socket-wire.js';
import { TunnelWire } from './stream-wire.js';

export interface TunnelsDeps {
  /** Called when a node starts or stops holding a tunnel here. */
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

  /** Opens a stream to the node. Throws NODE_UNREACHABLE. */
  open(node: NodeRecord, source: string): Wire {
    return new TunnelWire(this.#of(node), source);
  }

  has(node: string): boolean {
    return this.#byNode.has(node);
  }

  /** Opens a stream to the node for another worker; `key` is from that worker's record of the node. Throws NODE_UNREACHABLE, TOO_MANY. */
  stream(node: string, key: string, { kind, source }: OpenStream): Duplex {
    const out = new Chunks();
    return new TunnelDuplex(this.#of({ name: node, tunnel_key: key }).open({ kind, source }, out), out);
  }

  /** Opens a stream to the API server of the cluster that the node's agent runs in. Throws NODE_UNREACHABLE, TOO_MANY. */
  openCluster(node: NodeRecord, source: string): Duplex {
    const out = new Chunks();
    return new TunnelDuplex(this.#of(node).open({ kind: 'kubernetes', source }, out), out);
  }

  /** Opens a stream to the node's agent about a command in a container on the node. Throws NODE_UNREACHABLE, TOO_MANY. */
  openPod(node: NodeRecord, source: string): Duplex {
    const out = new Chunks();
    return new TunnelDuplex(this.#of(node).open({ kind: 'pod', source }, out), out);
  }

  #of(node: Pick<NodeRecord, 'name' | 'tunnel_key'>): Mux {
    const tunnel = this.#byNode.get(node.name)?.at(-1);
    if (tunnel === undefined || tunnel.key !== node.tunnel_key)
      throw new StenoError('NODE_UNREACHABLE', `no agent of ${node.name} is connected to this gateway`);
    return tunnel.mux;
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

  /** Ends the tunnels of nodes that were removed or have joined with another key. */
  recheck(snapshot: Snapshot): void {
    if (snapshot.nodes === this.#nodes) return;
    this.#nodes = snapshot.nodes;
    for (const tunnels of [...this.#byNode.values()]) {
      for (const { node, key, mux } of [...tunnels])
        if (nodeIn(snapshot.nodes, node)?.tunnel_key !== key) mux.close('this node was removed');
    }
  }

  /** Sends to every connected agent. */
  control(message: object): void {
    for (const tunnels of this.#byNode.values()) for (const { mux } of tunnels) mux.control(message);
  }

  close(): void {
    for (const tunnels of [...this.#byNode.values()]) for (const { mux } of [...tunnels]) mux.close('this gateway is shutting down');
  }
}
