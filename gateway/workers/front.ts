/**
 * The listening sockets of a gateway with workers: accepts and counts connections, and passes each on, unread, with its slot.
 *
 *     SSH         accepted ──turn of its source, slot──► passed on
 *     Kubernetes  accepted ──slot──► passed on
 *     tunnels     accepted ──slot──► first bytes read ──ClientHello, or anything else──► passed on, to the gateway it names if any
 *                                       └──HELLO_MS──► closed
 *
 * Connections are counted only here, so an address has one count regardless of the number of workers. Tested in
 * test/end-to-end/workers.test.ts.
 */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { formatHostPort } from '#schemas/base/host-port.js';
import type { HostPort } from '#schemas/base/host-port.js';
import { listenAt } from '#runtime/http/listen.js';
import { unmappedAddress } from '#schemas/base/ip-address.js';
import { gatewayOfServerName } from '#schemas/tunnel.js';
import type { Log } from '#runtime/log.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { Slot, TurnedAway } from '#runtime/http/stranger-slots.js';
import { LocalAdmissions, defaultLimits } from '../edge/admissions.js';
import { serverNameOf } from './client-hello.js';
import type { PortName } from './messages.js';

const HELLO_MS = 10_000;

export interface FrontDeps {
  readonly log: Log;
  readonly deliver: (arrival: Arrival) => void;
  readonly turnedAway: (port: PortName, counts: TurnedAway & { readonly sources: number }) => void;
}

/** The handle of a TCP socket of Node. */
export interface TcpHandle {
  close(): void;
  readStop(): void;
}

/** An accepted connection that has its slot. */
export class Arrival {
  readonly port: PortName;
  /** Called when another connection gets its slot. */
  displaced: () => void = () => this.destroy();
  /** The gateway that the client wants to reach; null: any. */
  wanted: string | null = null;
  /** The bytes read from the connection. */
  head: Buffer = Buffer.alloc(0);
  #slot: Slot | undefined;
  /** Null once the connection was passed on: the parent keeps little state per connection. */
  #socket: Socket | null;

  constructor(port: PortName, socket: Socket) {
    this.port = port;
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
  }

  get source(): string | undefined {
    const address = this.#socket?.remoteAddress;
    return address === undefined ? undefined : unmappedAddress(address);
  }

  get slot(): Slot {
    return this.#slot!;
  }

  set slot(slot: Slot) {
    this.#slot = slot;
  }

  get destroyed(): boolean {
    return this.#socket?.destroyed !== false;
  }

  /** Reads until the gateway that the client wants to reach is known, then stops reading. */
  readName(done: () => void): void {
    const socket = this.#socket;
    if (socket === null) return;
    const limit = setTimeout(() => this.destroy(), HELLO_MS);
    const read = (chunk: Buffer): void => {
      this.head = Buffer.concat([this.head, chunk]);
      const found = serverNameOf(this.head);
      if (found.kind === 'more') return;
      socket.off('data', read);
      handleOf(socket)?.readStop();
      socket.pause();
      clearTimeout(limit);
      if (found.kind === 'name') this.wanted = gatewayOfServerName(found.name);
      done();
    };
    socket.on('data', read).resume();
    socket.once('end', () => this.destroy());
    socket.once('close', () => {
      clearTimeout(limit);
      // Closed before it was passed on.
      if (this.#socket !== null) this.#slot?.release();
    });
  }

  /** Takes the handle out of the socket, for another process; null if the connection is closed. The caller closes it. */
  detach(): TcpHandle | null {
    const socket = this.#socket;
    const handle = socket === null || socket.destroyed ? null : handleOf(socket);
    if (socket === null || handle === null) return null;
    this.#socket = null;
    (socket as unknown as { _handle: TcpHandle | null })._handle = null;
    socket.destroy();
    return handle;
  }

  destroy(): void {
    this.#socket?.destroy();
    this.#slot?.release();
  }
}

function handleOf(socket: Socket): TcpHandle | null {
  return (socket as unknown as { readonly _handle: TcpHandle | null })._handle;
}

export class Front {
  readonly #deps: FrontDeps;
  readonly #admissions: LocalAdmissions;
  readonly #slots: Readonly<Record<'kube' | 'tunnel', StrangerSlots>>;
  readonly #servers: Server[] = [];

  constructor(deps: FrontDeps) {
    this.#deps = deps;
    const { log } = deps;
    const reporting = (port: PortName) => ({
      log,
      report: (counts: TurnedAway & { readonly sources: number }) => deps.turnedAway(port, counts),
    });
    this.#admissions = new LocalAdmissions(defaultLimits, reporting('ssh'));
    this.#slots = { kube: new StrangerSlots(defaultSlots, { log }), tunnel: new StrangerSlots(defaultSlots, reporting('tunnel')) };
  }

  /** Admissions of SSH connections, including those that arrive through another port. */
  get admissions(): LocalAdmissions {
    return this.#admissions;
  }

  /** Returns `host:port`. Rejects with PORT_TAKEN. */
  async listen(port: PortName, at: HostPort): Promise<string> {
    const server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#accept(new Arrival(port, socket)));
    this.#servers.push(server);
    const bound = await listenAt(server, at, (error) => this.#deps.log.error({ err: error, port }, 'a listener failed'));
    return formatHostPort(bound);
  }

  /** Accepts no more connections. */
  stop(): void {
    for (const server of this.#servers.splice(0)) server.close();
  }

  /** Reports the connections turned away since the last report. */
  flush(): void {
    this.#admissions.close();
    for (const slots of Object.values(this.#slots)) slots.close();
  }

  #accept(arrival: Arrival): void {
    const { source, port } = arrival;
    // Disconnected before it was accepted.
    if (source === undefined) return arrival.destroy();
    if (port === 'ssh') {
      const connection = {
        get destroyed() {
          return arrival.destroyed;
        },
        destroy: () => arrival.displaced(),
      };
      this.#admissions.enter(
        source,
        connection,
        (slot) => {
          arrival.slot = slot;
          this.#deps.deliver(arrival);
        },
        (reason) => this.#deps.log.info({ source, reason }, 'a connection ended before admission'),
      );
      return;
    }
    const slot = this.#slots[port].take(source, () => arrival.displaced());
    if (slot === null) return arrival.destroy();
    arrival.slot = slot;
    if (port === 'kube') return this.#deps.deliver(arrival);
    arrival.readName(() => this.#deps.deliver(arrival));
  }
}
