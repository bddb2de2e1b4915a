/**
 * Stranger slots (stranger-slots.ts) for servers of HTTP and TLS: a connection holds one from its first byte until the
 * server says that it passes, or it is gone.
 *
 * A TLS server sees two sockets for one connection, the TCP one first; both have the same peer address and port.
 * Tested in stranger-guard.test.ts.
 */
import type { Server, Socket } from 'node:net';
import { StrangerSlots } from './stranger-slots.js';
import type { Slot } from './stranger-slots.js';

/** What a TCP socket and the TLS over it have in common. */
export type Peer = Pick<Socket, 'remoteAddress' | 'remotePort'>;

export interface GuardOptions {
  /** ms until a connection that does not pass is closed; left out: something else sees to that. */
  readonly limitMs?: number;
  /** Addresses that hold no slots: proxies, behind which everybody is. */
  readonly exempt?: ReadonlySet<string>;
}

export class StrangerGuard {
  readonly slots: StrangerSlots;
  readonly #held = new Map<string, { readonly slot: Slot; readonly done: () => void }>();

  constructor(server: Server, slots: StrangerSlots, { limitMs, exempt }: GuardOptions = {}) {
    this.slots = slots;
    server.on('connection', (socket: Socket) => {
      socket.on('error', () => socket.destroy());
      const address = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/, '');
      if (exempt?.has(address) === true) return;
      const slot = slots.take(address, () => socket.destroy());
      if (slot === null) return void socket.destroy();
      const limit = limitMs === undefined ? undefined : setTimeout(() => socket.destroy(), limitMs);
      const name = nameOf(socket);
      this.#held.set(name, { slot, done: () => clearTimeout(limit) });
      socket.on('close', () => {
        clearTimeout(limit);
        this.#held.delete(name);
        slot.release();
      });
    });
  }

  /** It has shown who it is: the slot is free, and its source is known from now on. */
  admitted(peer: Peer): void {
    this.#end(peer)?.admitted();
  }

  /** It is no stranger that keeps others out, whoever it is. */
  passed(peer: Peer): void {
    this.#end(peer)?.release();
  }

  #end(peer: Peer): Slot | undefined {
    const held = this.#held.get(nameOf(peer));
    held?.done();
    return held?.slot;
  }
}

function nameOf({ remoteAddress, remotePort }: Peer): string {
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}
