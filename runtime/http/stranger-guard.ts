/**
 * Applies stranger slots (stranger-slots.ts) to HTTP and TLS servers: a connection holds a slot from its first byte until
 * the server admits it or it closes.
 *
 * A TLS server has two sockets per connection, the TCP one first; both have the same peer address and port. Tested in
 * stranger-guard.test.ts.
 */
import type { Server, Socket } from 'node:net';
import { peerAddress } from '#schemas/base/ip-address.js';
import type { Slot, SlotSource, StrangerSlots } from './stranger-slots.js';

/** Properties that identify both a TCP socket and the TLS socket over it. */
export type Peer = Pick<Socket, 'remoteAddress' | 'remotePort'>;

export interface GuardOptions {
  /** ms after which a connection that was not admitted is closed; omitted if something else enforces a limit. */
  readonly limitMs?: number;
  /** Addresses that hold no slots: proxies that everybody connects through. */
  readonly exempt?: ReadonlySet<string>;
}

export class StrangerGuard<Slots extends SlotSource = StrangerSlots> {
  readonly slots: Slots;
  readonly #held = new Map<string, { readonly slot: Slot; readonly done: () => void }>();

  constructor(server: Server, slots: Slots, { limitMs, exempt }: GuardOptions = {}) {
    this.slots = slots;
    server.on('connection', (socket: Socket) => {
      socket.on('error', () => socket.destroy());
      const address = peerAddress(socket);
      if (exempt?.has(address) === true) return;
      const slot = slots.take(address, () => socket.destroy(), socket);
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

  /** The peer has authenticated: frees its slot, and marks its source as known. */
  admitted(peer: Peer): void {
    this.#end(peer)?.admitted();
  }

  /** Frees the slot without marking the source as known. */
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
