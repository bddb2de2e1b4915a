/** A WebSocket of binary messages that reports its unsent bytes. Tested in ../streaming.test.ts and ../port-forward.test.ts. */
import { WebSocket } from 'ws';
import { HIGH_WATER, LAST_MESSAGES_MS } from './peer.js';

export abstract class MessageSocket {
  protected readonly socket: WebSocket;
  #drained: (() => void)[] = [];

  /** `socket`: open; it is paused. */
  protected constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = 'nodebuffer';
    socket.pause();
  }

  get unread(): number {
    return this.socket.bufferedAmount;
  }

  onDrain(callback: () => void): void {
    this.#drained.push(callback);
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  protected sendMessage(message: Buffer): void {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.socket.send(message, { binary: true }, () => {
      if (this.#drained.length === 0 || this.unread > HIGH_WATER) return;
      for (const callback of this.#drained.splice(0)) callback();
    });
  }

  protected closeWith(code: number): void {
    // A paused socket would not see the answer to the close.
    this.socket.resume();
    this.socket.close(code);
    setTimeout(() => this.socket.terminate(), LAST_MESSAGES_MS).unref();
  }
}
