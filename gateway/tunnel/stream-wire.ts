/**
 * A tunnel stream as the byte stream of an SSH connection (edge/socket-wire.ts): bytes are sent from the same slabs as those
 * of sockets, and a client that stops reading stops the node through the stream's window.
 *
 * Tested in test/agent/tunnel.test.ts.
 */
import type { Mux, MuxStream } from '#runtime/tunnel/mux.js';
import { Outbox } from '../edge/outbox.js';
import { HIGH_WATER } from '../edge/socket-wire.js';
import type { Wire, WireEvents } from '../edge/socket-wire.js';

/** A peer that does not read our last bytes is cut off after this many milliseconds. */
const LINGER_MS = 3_000;

export class TunnelWire implements Wire {
  readonly #stream: MuxStream;
  readonly #out = new Outbox();
  #full = false;
  #scheduled = false;
  #ending = false;

  /** Throws NODE_UNREACHABLE or TOO_MANY. `source`: the user's address, for the node's logs. */
  constructor(tunnel: Mux, source: string) {
    this.#stream = tunnel.open({ kind: 'ssh', source }, this.#out);
  }

  get queued(): number {
    return this.#out.length;
  }

  attach(events: WireEvents): void {
    this.#stream.attach({
      data: events.bytes,
      end: () => this.end(),
      sent: () => {
        if (!this.#full || this.#out.length > HIGH_WATER / 2) return;
        this.#full = false;
        events.drained();
      },
      // A destroyed stream reports its end synchronously, a socket later; callers that destroy it rely on the latter.
      closed: () => process.nextTick(() => events.closed()),
    });
  }

  reserve(length: number): Buffer {
    return this.#out.reserve(length);
  }

  send(bytes: Buffer): void {
    if (this.#ending || this.#stream.over) return;
    this.#out.put(bytes);
    if (this.#out.length > HIGH_WATER) this.#full = true;
    if (this.#scheduled) return;
    // All packets made from one read leave in one frame.
    this.#scheduled = true;
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    this.#stream.poke();
  };

  pause(): void {
    this.#stream.pause();
  }

  resume(): void {
    this.#stream.resume();
  }

  end(): void {
    if (this.#ending || this.#stream.over) return;
    this.#ending = true;
    this.#stream.end();
    // Without reading, the other side's end would go unnoticed.
    this.#stream.resume();
    setTimeout(() => this.#stream.destroy(), LINGER_MS).unref();
  }

  destroy(): void {
    this.#stream.destroy();
  }
}
