/**
 * The SSH listener: accepts connections, bounds those that are not admitted yet, and keeps the list of all.
 *
 * Limits: strangers have as many slots as runtime/http/stranger-slots.ts gives them; who gets none is closed before a byte is
 * read. Those of one source beyond what it may hold at once wait for their turn, unread, up to 1,000 and 500 of one source
 * for 20 s (admission-queue.ts). A stranger costs its socket and one key exchange, and is gone 20 s after its turn came
 * (connection.ts). Tested in listener.test.ts and strangers.test.ts.
 */
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { sourceKey } from '#schemas/base/ip-address.js';
import type { Log } from '#runtime/log.js';
import { machineId } from '#runtime/machine.js';
import { StrangerSlots, defaultSlots } from '#runtime/http/stranger-slots.js';
import type { Slot, SlotLimits } from '#runtime/http/stranger-slots.js';
import { AdmissionQueue } from '../../edge/admission-queue.js';
import { ConnectionLog } from '../../edge/connection-log.js';
import { DialQueue } from '../dial/dial-queue.js';
import { Connection } from './connection.js';
import type { ConnectionDeps, Origin } from './connection.js';
import { OWN_NAMES } from '../transport/host-keys.js';
import type { HostKeys } from '../transport/host-keys.js';
import { readHttpConnect } from '../../edge/http-connect.js';
import { SocketWire } from '../../edge/socket-wire.js';
import type { Wire } from '../../edge/socket-wire.js';

export interface ListenerLimits {
  readonly slots: SlotLimits;
  /** Of those that wait for a turn of their source. */
  readonly waiting: number;
  readonly waitingPerSource: number;
  /** Milliseconds a stranger has to be admitted, and before that to get a turn. */
  readonly admissionMs: number;
}
export const defaultLimits: ListenerLimits = { slots: defaultSlots, waiting: 1_000, waitingPerSource: 500, admissionMs: 20_000 };

export interface ListenerDeps extends Omit<ConnectionDeps, 'enter' | 'admissionMs' | 'connectionLog' | 'dialQueue'> {
  readonly hostKeys: HostKeys;
  /** The gateway's own name, for the audit. */
  readonly name: string;
  readonly limits: ListenerLimits;
  readonly log: Log;
}

export class SshListener {
  readonly #deps: ListenerDeps;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #queue: AdmissionQueue;
  readonly #slots: StrangerSlots;
  readonly #dialQueue = new DialQueue();
  readonly #ended: ConnectionLog;
  #whenEmpty: (() => void) | undefined;

  constructor(deps: ListenerDeps) {
    this.#deps = deps;
    this.#ended = new ConnectionLog(deps.log);
    const { slots, waiting, waitingPerSource, admissionMs } = deps.limits;
    this.#queue = new AdmissionQueue({ perSource: slots.perSource, waiting, waitingPerSource, waitMs: admissionMs });
    this.#slots = new StrangerSlots(slots, {
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

  /** Rejects PORT_TAKEN. */
  async listen(host: string, port: number): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) =>
        reject(error.code === 'EADDRINUSE' ? new StenoError('PORT_TAKEN', `${host}:${port}`) : error),
      );
      this.#server.listen(port, host, resolve);
    });
    this.#server.on('error', (error) => this.#deps.log.error({ err: error }, 'listener failed'));
    const address = this.#server.address() as AddressInfo;
    return `${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
  }

  /** Accepts no more connections: whoever balances them, or has another address, goes elsewhere at once. */
  stop(): void {
    if (this.#server.listening) this.#server.close();
  }

  /** Accepts no more connections and ends those there are. */
  async close(error: StenoError): Promise<void> {
    this.stop();
    for (const connection of this.#connections) connection.end(error);
    if (this.#connections.size > 0)
      await new Promise<void>((resolve) => {
        this.#whenEmpty = resolve;
      });
    this.#slots.close();
    this.#ended.flush();
  }

  #accept(socket: Socket): void {
    const origin = originOf(socket, this.#deps.now());
    socket.on('error', () => socket.destroy());
    // Gone before it was taken.
    if (origin === null) return void socket.destroy();
    this.#queue.enter(
      sourceKey(origin.source),
      (done) => this.#begin(socket, origin, done),
      (reason) => {
        socket.destroy();
        this.#leftEarly(origin.source, reason);
      },
    );
  }

  /** It is the turn of this connection: `done` gives the turn back. */
  #begin(socket: Socket, origin: Origin, done: () => void): void {
    if (socket.destroyed) return done();
    const slot = this.#slots.take(origin.source, () => socket.destroy());
    if (slot === null) {
      socket.destroy();
      return done();
    }
    void this.#greet(socket, origin, {
      admitted: () => {
        slot.admitted();
        done();
      },
      release: () => {
        slot.release();
        done();
      },
    });
  }

  async #greet(socket: Socket, origin: Origin, slot: Slot): Promise<void> {
    try {
      const hostKeys = await this.#deps.hostKeys.of(OWN_NAMES);
      if (socket.destroyed) return slot.release();
      const wire = new SocketWire(socket);
      readHttpConnect(wire, this.#deps.limits.admissionMs, {
        // Unknown nodes too: only who is admitted learns which there are.
        opened: (node) => this.#welcome(wire, node === null ? { kind: 'gateway' } : { kind: 'node', node }, origin, hostKeys, slot),
        gone: (reason) => {
          slot.release();
          this.#leftEarly(origin.source, reason);
        },
      });
    } catch (error) {
      this.#deps.log.error({ err: error }, 'no host certificate');
      slot.release();
      socket.destroy();
    }
  }

  #leftEarly(source: string, reason: string): void {
    this.#ended.ended({ step: 'greeting', source, client: '', user: null, seconds: 0, reason });
  }

  #enter(wire: Wire, node: string, origin: Origin): void {
    this.#deps.hostKeys.of(node).then(
      (hostKeys) => this.#welcome(wire, { kind: 'node', node }, origin, hostKeys, null),
      (error: unknown) => {
        this.#deps.log.error({ err: error, node }, 'no host certificate');
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
        admissionMs: this.#deps.limits.admissionMs,
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

/** Null for a connection that is gone already. */
function originOf({ remoteAddress, remotePort, localAddress, localPort }: Socket, now: number): Origin | null {
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined) return null;
  return {
    source: plainAddress(remoteAddress),
    connection: { source_port: remotePort, address: plainAddress(localAddress), port: localPort, accepted_at: now, machine: machineId() },
  };
}

/** A dual-stack socket reports IPv4 addresses as IPv6. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/, '');
}
