/**
 * port-forward as spoken by the Python and JavaScript clients: a WebSocket of `v4.channel.k8s.io` with the ports in the query, one
 * connection to each. Port number `n` of the list has two channels (`portforward/websocket.go` of k8s.io/kubelet):
 *
 *     2n        data, both ways        2n + 1     errors, towards the client alone
 *
 * The first message of each channel is its port as u16, little endian. A channel cannot be closed by itself: when the pod has ended every
 * connection, the WebSocket is closed. The relay sees the same streams as with kubectl. Tested in ../port-forward.test.ts.
 */
import { WebSocket } from 'ws';
import type { StreamEvents } from '../spdy/connection.js';
import type { ForwardClient, ForwardClientEvents, ForwardStream } from './forward-client.js';
import { MessageSocket } from './message-socket.js';
import { frame } from './peer.js';

/** Channels are numbered by one byte, and each port has two. */
export const MAX_PORTS = 128;

const nobody: StreamEvents = { data: () => undefined, ended: () => undefined, reset: () => undefined };

class Channel implements ForwardStream {
  events = nobody;
  readonly #send: (bytes: Buffer) => void;
  readonly #gone: () => void;
  #over = false;

  constructor(send: (bytes: Buffer) => void, gone: () => void) {
    this.#send = send;
    this.#gone = gone;
  }

  write(bytes: Buffer): void {
    if (!this.#over && bytes.length > 0) this.#send(bytes);
  }

  /** Ends both directions: a channel cannot be half closed. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.events.ended();
    this.#gone();
  }

  reset(): void {
    if (this.#over) return;
    this.#over = true;
    this.#gone();
  }

  receive(bytes: Buffer): void {
    if (!this.#over) this.events.data(bytes);
  }
}

export class ChannelClient extends MessageSocket implements ForwardClient {
  readonly #ports: readonly number[];
  readonly #events: ForwardClientEvents;
  readonly #channels = new Map<number, Channel>();
  #begun = false;
  #over = false;

  /** `socket`: open; it is paused. */
  constructor(socket: WebSocket, ports: readonly number[], events: ForwardClientEvents) {
    super(socket);
    this.#ports = ports;
    this.#events = events;
    socket.on('message', (data) => this.#receive(data as Buffer));
    socket.on('close', () => this.#finish());
    socket.on('error', () => this.destroy());
  }

  override resume(): void {
    super.resume();
    if (this.#begun) return;
    this.#begun = true;
    if (this.socket.readyState !== WebSocket.OPEN) return this.#finish();
    this.#ports.forEach((port, index) => this.#open(port, index));
  }

  close(): void {
    this.closeWith(1000);
  }

  destroy(): void {
    this.socket.terminate();
    this.#finish();
  }

  #open(port: number, index: number): void {
    const first = Buffer.alloc(2);
    first.writeUInt16LE(port);
    const channels = (['data', 'error'] as const).map((type, offset) => {
      const number = 2 * index + offset;
      this.sendMessage(frame(number, first));
      const channel = new Channel(
        (bytes) => this.sendMessage(frame(number, bytes)),
        () => this.#leave(number),
      );
      this.#channels.set(number, channel);
      return { type, channel };
    });
    // Opened in kubectl's order.
    for (const { type, channel } of channels.reverse()) {
      const headers = new Map([
        ['streamtype', type],
        ['port', String(port)],
        ['requestid', String(index)],
      ]);
      if (!this.#events.opened(channel, headers)) channel.reset();
      // The client sends nothing on the error channel; kubectl ends its direction immediately.
      else if (type === 'error') channel.events.ended();
    }
  }

  #receive(message: Buffer): void {
    if (this.#over || message.length === 0) return;
    const number = message[0]!;
    // Only the pod may send errors.
    if (number % 2 === 1 || number >= 2 * this.#ports.length) return this.destroy();
    if (message.length > 1) this.#channels.get(number)?.receive(message.subarray(1));
  }

  #leave(number: number): void {
    this.#channels.delete(number);
    if (this.#channels.size === 0 && !this.#over) this.#events.closed();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#channels.clear();
    this.#events.closed();
  }
}
