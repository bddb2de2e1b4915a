/**
 * The SSH listener: accepts connections, limits those that are not admitted yet, and keeps the list of all.
 *
 * Limits: runtime/http/stranger-slots.ts bounds the number of strangers (unadmitted connections); one that gets no slot is
 * closed before a byte is read. Connections beyond the concurrency limit of their source wait, unread, for up to 20 s: at
 * most 1,000 in all and 500 per source (admission-queue.ts). A stranger costs its socket and one key exchange, and is closed
 * 20 s after its turn came (connection.ts). Tested in listener.test.ts and strangers.test.ts.
 */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort } from '#schemas/base/host-port.js';
import type { HostPort } from '#schemas/base/host-port.js';
import { listenAt } from '#runtime/http/listen.js';
import type { Log } from '#runtime/log.js';
import { machineId } from '#runtime/machine.js';
import { unmappedAddress } from '#schemas/base/ip-address.js';
import type { Slot } from '#runtime/http/stranger-slots.js';
import { LocalAdmissions, defaultLimits } from '../../edge/admissions.js';
import type { Admissions, Entering, ListenerLimits } from '../../edge/admissions.js';
import type { SshArrivals } from '../../edge/arrivals.js';
import { ConnectionLog } from '../../edge/connection-log.js';
import { DialQueue } from '../dial/dial-queue.js';
import { Connection } from './connection.js';
import type { ConnectionDeps, Origin } from './connection.js';
import { OWN_NAMES } from '../transport/host-keys.js';
import type { HostKeys } from '../transport/host-keys.js';
import { readHttpConnect } from '../../edge/http-connect.js';
import { SocketWire } from '../../edge/socket-wire.js';
import type { Wire } from '../../edge/socket-wire.js';

export interface ListenerDeps extends Omit<ConnectionDeps, 'enter' | 'admissionMs' | 'connectionLog' | 'dialQueue'> {
  readonly hostKeys: HostKeys;
  /** The gateway's own name, for audit rows. */
  readonly name: string;
  readonly limits?: ListenerLimits | undefined;
  readonly log: Log;
  /** Connections that another process accepts; absent: this process listens. */
  readonly arrivals?: SshArrivals | undefined;
}

export class SshListener {
  readonly #deps: ListenerDeps;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #admissions: Admissions;
  readonly #limits: ListenerLimits;
  readonly #dialQueue = new DialQueue();
  readonly #ended: ConnectionLog;
  #whenEmpty: (() => void) | undefined;

  constructor(deps: ListenerDeps) {
    this.#deps = deps;
    this.#limits = deps.limits ?? defaultLimits;
    this.#ended = new ConnectionLog(deps.log);
    this.#admissions =
      deps.arrivals?.admissions ??
      new LocalAdmissions(this.#limits, {
        log: deps.log,
        report: (counts) =>
          deps.recorder.audit({
            event: 'strangers.turned_away',
            outcome: 'failure',
            code: 'TOO_MANY',
            target: `gateway/${deps.name}`,
            data: JSON.stringify(counts),
          }),
      });
    this.#server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
  }

  /** Rejects with PORT_TAKEN. */
  async listen(at: HostPort): Promise<string> {
    const { arrivals } = this.#deps;
    if (arrivals !== undefined) {
      arrivals.open((socket) => this.#arrived(socket, arrivals));
      return arrivals.address;
    }
    const bound = await listenAt(this.#server, at, (error) => this.#deps.log.error({ err: error }, 'the listener failed'));
    return formatHostPort(bound);
  }

  /** Accepts no more connections, so that load balancers and clients with other addresses go elsewhere immediately. */
  stop(): void {
    this.#deps.arrivals?.stop();
    if (this.#server.listening) this.#server.close();
  }

  /** Accepts no more connections and ends the existing ones. */
  async close(error: StenoError): Promise<void> {
    this.stop();
    for (const connection of this.#connections) connection.end(error);
    if (this.#connections.size > 0)
      await new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
    this.#admissions.close();
    this.#ended.flush();
  }

  #accept(socket: Socket): void {
    const origin = originOf(socket, this.#deps.now());
    socket.on('error', () => socket.destroy());
    // Disconnected before it was accepted.
    if (origin === null) return void socket.destroy();
    const arrived = new Arrived(socket);
    this.#enqueue(arrived, origin, (slot) => void this.#greet(arrived, origin, slot));
  }

  /** Takes a connection that another process has queued and counted. */
  #arrived(socket: Socket, arrivals: SshArrivals): void {
    const arrived = new Arrived(socket);
    const slot = arrivals.slotOf(socket, () => arrived.destroy());
    const origin = originOf(socket, this.#deps.now());
    socket.on('error', () => socket.destroy());
    if (origin === null) {
      slot.release();
      return void socket.destroy();
    }
    void this.#greet(arrived, origin, slot);
  }

  /** Accepts a connection that a viewer relays for a browser at `source`; the same limits apply as to a direct connection. */
  accept(wire: Wire, source: string): void {
    if (this.#deps.draining()) return wire.destroy();
    const origin = { source, connection: null };
    const state = { destroyed: false, destroy: () => wire.destroy() };
    let slot: Slot | undefined;
    wire.attach({
      bytes: () => undefined,
      drained: () => undefined,
      closed: () => {
        state.destroyed = true;
        slot?.release();
      },
    });
    wire.pause();
    this.#enqueue(state, origin, (taken) => {
      slot = taken;
      this.#deps.hostKeys.of(OWN_NAMES).then(
        (hostKeys) => {
          if (!state.destroyed) this.#welcome(wire, { kind: 'gateway' }, origin, hostKeys, taken);
        },
        (error: unknown) => {
          this.#deps.log.error({ err: error }, 'failed to get a host certificate');
          wire.destroy();
        },
      );
    });
  }

  /** Waits for a turn of the source, then for a slot; `begin` must release the slot. */
  #enqueue(connection: Entering, { source }: Origin, begin: (slot: Slot) => void): void {
    this.#admissions.enter(source, connection, begin, (reason) => this.#leftEarly(source, reason));
  }

  async #greet(arrived: Arrived, origin: Origin, slot: Slot): Promise<void> {
    try {
      const hostKeys = await this.#deps.hostKeys.of(OWN_NAMES);
      if (arrived.destroyed) return slot.release();
      const wire = arrived.read();
      readHttpConnect(wire, this.#limits.admissionMs, {
        // Accept unknown names too: only admitted users may learn which nodes exist.
        opened: (node) => this.#welcome(wire, node === null ? { kind: 'gateway' } : { kind: 'node', node }, origin, hostKeys, slot),
        gone: (reason) => {
          slot.release();
          this.#leftEarly(origin.source, reason);
        },
      });
    } catch (error) {
      this.#deps.log.error({ err: error }, 'failed to get a host certificate');
      slot.release();
      arrived.destroy();
    }
  }

  #leftEarly(source: string, reason: string): void {
    this.#ended.ended({ step: 'greeting', source, client: '', user: null, seconds: 0, reason });
  }

  #enter(wire: Wire, node: string, origin: Origin): void {
    this.#deps.hostKeys.of(node).then(
      (hostKeys) => this.#welcome(wire, { kind: 'node', node }, origin, hostKeys, null),
      (error: unknown) => {
        this.#deps.log.error({ err: error, node }, 'failed to get a host certificate');
        wire.destroy();
      },
    );
  }

  #welcome(
    wire: Wire,
    entry: ConstructorParameters<typeof Connection>[1],
    origin: Origin,
    hostKeys: ConstructorParameters<typeof Connection>[3],
    slot: Slot | null,
  ): void {
    const connection: Connection = new Connection(
      wire,
      entry,
      origin,
      hostKeys,
      {
        ...this.#deps,
        connectionLog: this.#ended,
        dialQueue: this.#dialQueue,
        admissionMs: this.#limits.admissionMs,
        enter: (inner, node, from) => this.#enter(inner, node, from),
      },
      {
        admitted: () => slot?.admitted(),
        gone: () => {
          slot?.release();
          this.#connections.delete(connection);
          if (this.#connections.size === 0) this.#whenEmpty?.();
        },
      },
    );
    this.#connections.add(connection);
  }
}

/** An accepted connection: a wire takes over its socket once it is read. */
class Arrived implements Entering {
  readonly #socket: Socket;
  #wire: Wire | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  read(): SocketWire {
    const wire = new SocketWire(this.#socket);
    this.#wire = wire;
    return wire;
  }

  destroy(): void {
    (this.#wire ?? this.#socket).destroy();
  }
}

/** Null for a connection that is already closed. */
function originOf({ remoteAddress, remotePort, localAddress, localPort }: Socket, now: number): Origin | null {
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined) return null;
  return {
    source: unmappedAddress(remoteAddress),
    connection: {
      source_port: remotePort,
      address: unmappedAddress(localAddress),
      port: localPort,
      accepted_at: now,
      machine: machineId(),
    },
  };
}
