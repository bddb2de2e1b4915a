/**
 * The tunnels that agents hold to this gateway: found by node, judged again with every snapshot, and told to the
 * authority.
 *
 *     arrives ──known, by its key──► held ──node removed, joined anew, silence, closed──► gone
 *
 * A node may hold several (it was cut off and is back): the newest one carries what is new, the others what they have.
 * What the authority is told is told in order, at once when it changes and every HELD_BEAT_MS; after a failure
 * everything is told again. Tested in test/agent/tunnel.test.ts.
 */
import { randomBytes } from 'node:crypto';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { Log } from '#runtime/log.js';
import type { Mux } from '#runtime/tunnel/mux.js';
import type { Wire } from '../edge/socket-wire.js';
import { TunnelWire } from './stream-wire.js';

const HELD_BEAT_MS = 2_500;
const HELD_RETRY_MS = 1_000;

export interface Held {
  readonly epoch: string;
  readonly address: string;
  readonly all?: readonly string[];
  readonly up: readonly string[];
  readonly down: readonly string[];
}

export interface TunnelsDeps {
  /** False: the authority does not know this run, and wants to hear everything. */
  readonly tell: (held: Held) => Promise<boolean>;
  /** Where agents reach this gateway, `host:port`. */
  readonly address: () => string;
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
  readonly #epoch = randomBytes(8).toString('hex');
  readonly #up = new Set<string>();
  readonly #down = new Set<string>();
  #known = false;
  #telling = false;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(deps: TunnelsDeps) {
    this.#deps = deps;
  }

  /** Begins to tell the authority. */
  start(): void {
    this.#tell();
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
    if (held === undefined) this.#changed(node, true);
  }

  remove(node: string, mux: Mux): void {
    const held = this.#byNode.get(node);
    const left = held?.filter((tunnel) => tunnel.mux !== mux) ?? [];
    if (held === undefined || left.length === held.length) return;
    if (left.length > 0) return void this.#byNode.set(node, left);
    this.#byNode.delete(node);
    this.#changed(node, false);
  }

  /** Ends the tunnels of nodes that are gone or have joined with another key. */
  recheck(snapshot: Snapshot): void {
    if (this.#byNode.size === 0) return;
    const keys = new Map(snapshot.nodes.map(({ name, tunnel_key }) => [name, tunnel_key]));
    for (const tunnels of [...this.#byNode.values()]) {
      for (const { node, key, mux } of [...tunnels]) if (keys.get(node) !== key) mux.close('this node was removed');
    }
  }

  /** To every agent that holds one. */
  control(message: object): void {
    for (const tunnels of this.#byNode.values()) for (const { mux } of tunnels) mux.control(message);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const tunnels of [...this.#byNode.values()]) for (const { mux } of [...tunnels]) mux.close('this gateway ends');
    // The last word, if the authority still hears it.
    this.#deps.tell({ epoch: this.#epoch, address: this.#deps.address(), all: [], up: [], down: [] }).catch(() => undefined);
  }

  #changed(node: string, up: boolean): void {
    (up ? this.#down : this.#up).delete(node);
    (up ? this.#up : this.#down).add(node);
    this.#tell();
  }

  #tell(): void {
    if (this.#closed) return;
    if (this.#telling) {
      this.#again = true;
      return;
    }
    this.#telling = true;
    clearTimeout(this.#timer);
    const [up, down] = [[...this.#up], [...this.#down]];
    this.#up.clear();
    this.#down.clear();
    const held: Held = this.#known
      ? { epoch: this.#epoch, address: this.#deps.address(), up, down }
      : { epoch: this.#epoch, address: this.#deps.address(), all: [...this.#byNode.keys()], up: [], down: [] };
    let wait = HELD_BEAT_MS;
    this.#deps
      .tell(held)
      .then(
        (known) => {
          if (!known) wait = 0;
          this.#known = known;
        },
        (error: unknown) => {
          this.#deps.log.debug({ err: error }, 'which nodes are there could not be told');
          this.#known = false;
          wait = HELD_RETRY_MS;
        },
      )
      .finally(() => {
        this.#telling = false;
        if (this.#again && this.#known) wait = 0;
        this.#again = false;
        if (this.#closed) return;
        this.#timer = setTimeout(() => this.#tell(), wait);
        this.#timer.unref();
      });
  }
}
