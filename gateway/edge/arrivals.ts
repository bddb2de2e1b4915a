/**
 * Connections that another process has accepted and counted (../workers/): a worker's listeners take them in place of a listening socket.
 */
import type { Server, Socket } from 'node:net';
import type { Slot, SlotSource } from '#runtime/http/stranger-slots.js';
import type { Admissions } from './admissions.js';

export interface Arrivals {
  /** `host:port` at which the other process listens. */
  readonly address: string;
  /** Returns the slot that the other process took for the connection. */
  readonly slots: SlotSource;
  /** Calls back with each connection, from which nothing has been read. */
  open(take: (socket: Socket) => void): void;
  /** Takes no more connections. */
  stop(): void;
}

/** Arrivals of the SSH port. SSH connections that arrive another way wait in the same queue and count in the same slots. */
export interface SshArrivals extends Arrivals {
  readonly admissions: Admissions;
  /** `displace` closes the connection. */
  slotOf(socket: Socket, displace: () => void): Slot;
}

/** Feeds an HTTPS server that does not listen itself. */
export function feed(server: Server, arrivals: Arrivals): string {
  arrivals.open((socket) => server.emit('connection', socket));
  // Node's HTTP server begins to enforce its time limits on this event.
  server.emit('listening');
  return arrivals.address;
}
