/**
 * The two ends of a SPDY/3.1 stream to a container for tests. They write header blocks with zlib, as spdystream does, so the blocks
 * are compressed.
 */
import { once } from 'node:events';
import { createDeflate, constants } from 'node:zlib';
import type { Deflate } from 'node:zlib';
import { request as httpsRequest } from 'node:https';
import type { RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { SpdyConnection } from '../kube/spdy/connection.js';
import type { SpdyStream } from '../kube/spdy/connection.js';
import { dictionary } from '../kube/spdy/header-block.js';
import type { Headers } from '../kube/spdy/header-block.js';

/** Everything received on one stream. */
export class StreamEnd {
  readonly stream: SpdyStream;
  readonly headers: Headers;
  got = Buffer.alloc(0);
  ended = false;
  wasReset = false;
  readonly #waiting = new Set<() => void>();

  constructor(stream: SpdyStream, headers: Headers) {
    this.stream = stream;
    this.headers = headers;
    const changed = (): void => {
      for (const look of this.#waiting) look();
    };
    stream.events = {
      data: (bytes) => {
        this.got = Buffer.concat([this.got, bytes]);
        changed();
      },
      ended: () => {
        this.ended = true;
        changed();
      },
      reset: () => {
        this.wasReset = true;
        changed();
      },
    };
  }

  until(holds: (end: this) => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!holds(this)) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** For streams of a forwarded connection the key also contains the connection's number. */
export const spdyKey = (headers: ReadonlyMap<string, string>): string =>
  [headers.get('streamtype'), headers.get('requestid')].filter((part) => part !== undefined).join(' ');

/** One end of a connection. */
export class SpdyEnd {
  readonly connection: SpdyConnection;
  readonly streams = new Map<string, StreamEnd>();
  readonly closed: Promise<void>;
  readonly #key: (headers: Headers) => string;
  readonly #waiting = new Set<() => void>();

  constructor(socket: Duplex, role: 'client' | 'server', head: Buffer = Buffer.alloc(0), key = spdyKey) {
    this.#key = key;
    let over!: () => void;
    this.closed = new Promise((resolve) => (over = resolve));
    this.connection = new SpdyConnection(socket, role, head, {
      opened: (stream, headers) => {
        this.streams.set(key(headers), new StreamEnd(stream, headers));
        for (const look of this.#waiting) look();
        return true;
      },
      closed: () => over(),
    });
    this.connection.resume();
  }

  open(headers: Readonly<Record<string, string>>): StreamEnd {
    const map = new Map(Object.entries(headers));
    const end = new StreamEnd(this.connection.open(map), map);
    this.streams.set(this.#key(map), end);
    return end;
  }

  stream(name: string): Promise<StreamEnd> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.streams.get(name);
        if (found === undefined) return;
        this.#waiting.delete(look);
        resolve(found);
      };
      this.#waiting.add(look);
      look();
    });
  }
}

/** Rejects with the status and body of a refusal. */
export function upgradeToSpdy(options: RequestOptions, protocol: string): Promise<{ readonly socket: Duplex; readonly head: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest({
      ...options,
      method: 'POST',
      agent: false,
      headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocol, ...options.headers },
    });
    request.on('error', reject);
    request.on('upgrade', (_, socket, head) => resolve({ socket, head }));
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => reject(new Error(`${response.statusCode} ${text}`)));
    });
    request.end();
  });
}

/** Header blocks written by zlib itself: one stream, with a sync flush after each block. */
export class ZlibBlocks {
  readonly #deflate: Deflate;

  constructor(level = 9) {
    this.#deflate = createDeflate({ dictionary, level });
  }

  async write(headers: Headers): Promise<Buffer> {
    const u32 = (value: number): Buffer => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      return bytes;
    };
    const plain = Buffer.concat([
      u32(headers.size),
      ...[...headers].flatMap(([name, value]) => [
        u32(name.length),
        Buffer.from(name, 'latin1'),
        u32(value.length),
        Buffer.from(value, 'latin1'),
      ]),
    ]);
    const got: Buffer[] = [];
    const take = (chunk: Buffer): void => void got.push(chunk);
    this.#deflate.on('data', take);
    this.#deflate.write(plain);
    const flushed = once(this.#deflate, 'steno-flushed');
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => this.#deflate.emit('steno-flushed'));
    await flushed;
    this.#deflate.off('data', take);
    return Buffer.concat(got);
  }
}
