/**
 * State that a worker shares with the other workers of its gateway: connections accepted by the parent, one count of strangers, tunnels
 * held by other workers, and the order of closing. ../process.ts uses it in place of listening sockets of its own.
 */
import { Socket } from 'node:net';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Log } from '#runtime/log.js';
import type { Slot, TurnedAway } from '#runtime/http/stranger-slots.js';
import { StenoError } from '#schemas/base/errors.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import type { Admissions, Entering } from '../edge/admissions.js';
import type { Arrivals, SshArrivals } from '../edge/arrivals.js';
import type { FromWorker, Phase, PortName, ToWorker, WorkerPlace } from './messages.js';
import { askSibling, serveSiblings, siblingPath } from './siblings.js';
import type { OpenHere, SiblingRequest } from './siblings.js';

type Counts = TurnedAway & { readonly sources: number };

interface Entered {
  readonly connection: Entering;
  readonly begin: (slot: Slot) => void;
  readonly refused: (reason: string) => void;
}

export interface SharedParts {
  readonly tell: (message: FromWorker) => void;
  /** Called when a retiring worker has nothing left to do. */
  readonly retired: () => void;
  readonly log: Log;
}

const RETIRE_MS = 1_000;

export class Shared {
  readonly #place: WorkerPlace;
  readonly #tell: (message: FromWorker) => void;
  readonly #server: Server;
  readonly #retired: () => void;
  readonly #log: Log;
  readonly #taking = new Map<PortName, (socket: Socket) => void>();
  readonly #slots = new WeakMap<Socket, { readonly id: number; readonly slot: Slot }>();
  /** Callbacks that close connections which have a slot or wait for one, by id. */
  readonly #displace = new Map<number, () => void>();
  readonly #entering = new Map<number, Entered>();
  /** Numbers of the workers that hold a tunnel of the node, newest last. */
  readonly #tunnels = new Map<string, number[]>();
  readonly #passing = new Map<Phase, () => void>();
  #passed: 'none' | Phase | 'alone' = 'none';
  #lastId = 0;
  #turnedAway: (port: PortName, counts: Counts) => void = () => undefined;

  /** `server`: the server returned by `takePlace`. */
  constructor(place: WorkerPlace, server: Server, { tell, retired, log }: SharedParts) {
    this.#place = place;
    this.#server = server;
    this.#tell = tell;
    this.#retired = retired;
    this.#log = log;
  }

  /** `empty`: whether nothing is left to send. A retiring worker then ends without waiting for the others. */
  retireWhen(empty: () => boolean): void {
    if (!this.#place.retiring) return;
    const timer = setInterval(() => {
      if (!empty()) return;
      clearInterval(timer);
      this.alone();
      this.#retired();
    }, RETIRE_MS);
    timer.unref();
  }

  /** The source of the port's connections; undefined if the gateway does not listen on that port. */
  arrivals(port: PortName): Arrivals | undefined {
    const address = this.#place.addresses[port];
    if (address === undefined) return undefined;
    return {
      address,
      slots: { take: (_, displace, socket) => this.#slotOf(socket, displace) },
      open: (take) => void this.#taking.set(port, take),
      stop: () => void this.#taking.delete(port),
    };
  }

  ssh(): SshArrivals | undefined {
    const arrivals = this.arrivals('ssh');
    if (arrivals === undefined) return undefined;
    const admissions: Admissions = {
      enter: (source, connection, begin, refused) => {
        const id = --this.#lastId;
        this.#entering.set(id, { connection, begin, refused });
        this.#displace.set(id, () => {
          // The connection got a turn but no slot.
          this.#entering.delete(id);
          this.#displace.delete(id);
          connection.destroy();
          this.#tell({ kind: 'closed', id });
        });
        this.#tell({ kind: 'enter', id, source });
      },
      close: () => undefined,
    };
    return { ...arrivals, admissions, slotOf: (socket, displace) => this.#slotOf(socket, displace) };
  }

  /** Calls back with the counts of strangers that the parent turned away. */
  onTurnedAway(callback: (port: PortName, counts: Counts) => void): void {
    this.#turnedAway = callback;
  }

  /** Reports that a node's tunnel to this worker was opened or closed. */
  held(node: string, held: boolean): void {
    this.#tell({ kind: 'tunnel', node, held });
  }

  /** Serves streams to nodes whose tunnels this worker holds. */
  serve(open: OpenHere): void {
    serveSiblings(this.#server, open, this.#log);
  }

  /** Opens a stream to the node over a tunnel that another worker holds; null if no worker holds one. */
  open(node: NodeRecord, kind: SiblingRequest['kind'], source: string): Duplex | null {
    const worker = this.#tunnels.get(node.name)?.at(-1);
    if (worker === undefined || node.tunnel_key === undefined) return null;
    return askSibling(siblingPath(this.#place.folder, worker), { kind, node: node.name, key: node.tunnel_key, source });
  }

  /** The address of a gateway that is another worker on this machine, without a proxy in between; null for any other gateway. */
  address(gateway: string): string | null {
    return this.#place.names.some(({ name }) => name === gateway) ? (this.#place.addresses.tunnel ?? null) : null;
  }

  /** Resolves when every worker has reached the phase of closing. */
  async together(phase: Phase): Promise<void> {
    if (this.#passed === 'alone' || this.#passed === phase) return;
    const passed = new Promise<void>((resolve) => this.#passing.set(phase, resolve));
    this.#tell({ kind: 'reached', phase });
    await passed;
  }

  /** The parent is gone, or this worker retires: closing no longer waits for the others. */
  alone(): void {
    this.#passed = 'alone';
    for (const pass of this.#passing.values()) pass();
  }

  /** Handles a message of the parent; `handle`: the TCP handle that came with it. */
  take(message: ToWorker, handle: unknown): void {
    switch (message.kind) {
      case 'connection':
        return this.#arrive(message, handle);
      case 'displace':
        return this.#displace.get(message.id)?.();
      case 'turn':
        return this.#turn(message.id);
      case 'refused': {
        const entered = this.#entered(message.id);
        this.#displace.delete(message.id);
        entered?.connection.destroy();
        return entered?.refused(message.reason);
      }
      case 'turned_away':
        return this.#turnedAway(message.port, message.counts);
      case 'tunnels':
        for (const node of message.down) this.#forget(node, message.worker);
        for (const node of message.up) this.#tunnels.set(node, [...(this.#tunnels.get(node) ?? []), message.worker]);
        return undefined;
      case 'gone':
        for (const node of [...this.#tunnels.keys()]) this.#forget(node, message.worker);
        return undefined;
      case 'pass':
        this.#passed = message.phase;
        return this.#passing.get(message.phase)?.();
      // Handled by the program itself (../worker.ts).
      case 'config':
      case 'close':
      case 'hurry':
        return undefined;
    }
  }

  #arrive({ port, id, head }: Extract<ToWorker, { readonly kind: 'connection' }>, handle: unknown): void {
    const closed = (): void => {
      this.#displace.delete(id);
      this.#tell({ kind: 'closed', id });
    };
    // The connection was closed on its way here.
    if (handle === undefined || handle === null) return closed();
    const socket = new Socket({ handle, pauseOnCreate: true } as ConstructorParameters<typeof Socket>[0]);
    const taking = this.#taking.get(port);
    if (taking === undefined) {
      socket.destroy();
      return closed();
    }
    if (head !== '') socket.unshift(Buffer.from(head, 'base64'));
    let over = false;
    this.#displace.set(id, () => socket.destroy());
    const slot = {
      admitted: () => this.#tell({ kind: 'admitted', id }),
      release: () => {
        if (over) return;
        over = true;
        closed();
      },
    };
    this.#slots.set(socket, { id, slot });
    taking(socket);
  }

  #slotOf(socket: Socket, displace: () => void): Slot {
    const taken = this.#slots.get(socket);
    if (taken === undefined) throw new StenoError('INTERNAL', 'a connection that did not come from the parent');
    this.#displace.set(taken.id, displace);
    return taken.slot;
  }

  #turn(id: number): void {
    const entered = this.#entered(id);
    let over = false;
    const release = (): void => {
      if (over) return;
      over = true;
      this.#displace.delete(id);
      this.#tell({ kind: 'closed', id });
    };
    if (entered === undefined || entered.connection.destroyed) return release();
    this.#displace.set(id, () => entered.connection.destroy());
    entered.begin({ admitted: () => this.#tell({ kind: 'admitted', id }), release });
  }

  #entered(id: number): Entered | undefined {
    const entered = this.#entering.get(id);
    this.#entering.delete(id);
    return entered;
  }

  #forget(node: string, worker: number): void {
    const left = (this.#tunnels.get(node) ?? []).filter((one) => one !== worker);
    if (left.length === 0) this.#tunnels.delete(node);
    else this.#tunnels.set(node, left);
  }
}
