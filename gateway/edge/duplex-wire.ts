/**
 * The byte stream of one SSH connection that a viewer relays for a browser, over TLS (../tunnel/ssh-relay.ts). Like a
 * socket-wire, but Node decrypts into its own memory, so nothing is read into a shared buffer.
 *
 * A browser that stops reading stops the viewer, which stops this stream: at most `HIGH_WATER` bytes and one read wait here.
 * Tested in test/end-to-end/terminal-relay.test.ts.
 */
import type { Duplex } from 'node:stream';
import { StreamWire } from './socket-wire.js';
import type { WireEvents } from './socket-wire.js';

export class DuplexWire extends StreamWire<Duplex> {
  /** Takes over a connected stream; `head`: bytes already read from it. */
  constructor(stream: Duplex, head: Buffer) {
    super(stream);
    if (head.length > 0) stream.unshift(head);
    stream.pause();
  }

  attach(events: WireEvents): void {
    const first = this.events === undefined;
    this.events = events;
    if (this.closed) return process.nextTick(events.closed);
    if (first) this.stream.on('data', (chunk: Buffer) => this.events?.bytes(chunk));
    this.stream.resume();
  }
}
