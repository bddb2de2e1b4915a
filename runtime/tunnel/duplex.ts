/**
 * A tunnel stream as a Node stream, which the agent passes to its SSH service or pipes into a socket.
 *
 * Backpressure works both ways: a writer waits while more than HIGH bytes are unsent; a reader that stops exhausts the
 * window. Tested in mux.test.ts.
 */
import { Duplex } from 'node:stream';
import { Chunks } from './mux.js';
import type { MuxStream } from './mux.js';

const HIGH = 256 << 10;

export class TunnelDuplex extends Duplex {
  readonly #stream: MuxStream;
  readonly #out: Chunks;
  #waiting: ((error?: Error | null) => void) | undefined;
  #finishing: ((error?: Error | null) => void) | undefined;

  constructor(stream: MuxStream, out: Chunks) {
    super({ allowHalfOpen: true, readableHighWaterMark: HIGH, writableHighWaterMark: HIGH });
    this.#stream = stream;
    this.#out = out;
    stream.attach({
      data: (bytes) => {
        if (!this.push(bytes)) stream.pause();
      },
      end: () => void this.push(null),
      sent: () => this.#sent(),
      closed: (reason) => {
        if (reason !== undefined) this.destroy(new Error(reason));
        else this.#sent();
      },
    });
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#stream.over) return done(new Error('the tunnel stream has ended'));
    this.#out.put(chunk);
    this.#waiting = done;
    this.#stream.poke();
    this.#sent();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#stream.end();
    this.#finishing = done;
    this.#sent();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.destroy(error === null ? '' : 'the other end failed');
    this.#waiting = undefined;
    this.#finishing = undefined;
    done(error);
  }

  #sent(): void {
    if (this.#out.length <= HIGH && this.#waiting !== undefined) {
      const done = this.#waiting;
      this.#waiting = undefined;
      done();
    }
    if ((this.#stream.endSent || this.#stream.over) && this.#finishing !== undefined) {
      const done = this.#finishing;
      this.#finishing = undefined;
      done();
    }
  }
}
