/**
 * A stream to a container over SPDY/3.1: one stream of the connection for each of error, stdin, stdout, stderr and resize, named by the
 * header `streamType`. Protocol `v4.channel.k8s.io`: the final Status is the entire content of the error stream.
 *
 *     towards the client      it opens the streams that its command has, each once; nothing flows before all are there
 *     towards the API server  this side opens them, in kubectl's order
 *
 * Both are translated into frames. Data that a client may not send on a stream is reported as a frame of that channel, which the relay
 * refuses. Tested in ../streaming.test.ts and test/kube/.
 */
import type { Duplex } from 'node:stream';
import { CHANNEL } from '#schemas/kube/remote-command.js';
import type { RemoteCommand } from '#schemas/kube/remote-command.js';
import { SpdyConnection } from '../spdy/connection.js';
import type { SpdyStream } from '../spdy/connection.js';
import type { Headers } from '../spdy/header-block.js';
import { LAST_MESSAGES_MS, HIGH_WATER, frame } from './peer.js';
import type { Peer, PeerEvents } from './peer.js';

export const SPDY_PROTOCOL = 'v4.channel.k8s.io';
/** The same time that a kubelet waits for the streams of a command. */
const STREAMS_MS = 30_000;
const MAX_STATUS = 65_536;
const MAX_RESIZE = 256;

type Kind = 'error' | 'stdin' | 'stdout' | 'stderr' | 'resize';
const channels: Readonly<Record<Kind, number>> = {
  error: CHANNEL.error,
  stdin: CHANNEL.stdin,
  stdout: CHANNEL.stdout,
  stderr: CHANNEL.stderr,
  resize: CHANNEL.resize,
};

/** In the order in which kubectl opens them. */
function kindsOf({ stdin, stdout, stderr, tty }: RemoteCommand): readonly Kind[] {
  const wanted: Readonly<Record<Kind, boolean>> = { error: true, stdin, stdout, stderr, resize: tty };
  return (['error', 'stdin', 'stdout', 'stderr', 'resize'] as const).filter((kind) => wanted[kind]);
}

/** Changes the protocol of a client's connection. `protocol`: the Kubernetes protocol inside SPDY/3.1. */
export function acceptSpdy(socket: Duplex, protocol: string): void {
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
}

export class SpdyPeer implements Peer {
  /** With SPDY, input ends with its stream, which version 4 of the WebSocket protocol cannot express. */
  readonly protocol = 'v5.channel.k8s.io';
  readonly #connection: SpdyConnection;
  readonly #role: 'client' | 'server';
  readonly #kinds: readonly Kind[];
  readonly #streams = new Map<Kind, SpdyStream>();
  readonly #duplex: Duplex;
  #events: PeerEvents | undefined;
  #deadline: NodeJS.Timeout | undefined;
  #closing = false;
  #status: Buffer = Buffer.alloc(0);

  /** `role`: the role of this side. Input that arrives before `start` waits. */
  constructor(duplex: Duplex, role: 'client' | 'server', head: Buffer, command: RemoteCommand) {
    this.#duplex = duplex;
    this.#role = role;
    this.#kinds = kindsOf(command);
    this.#connection = new SpdyConnection(duplex, role, head, {
      opened: (stream, headers) => this.#opened(stream, headers),
      closed: (error) => {
        clearTimeout(this.#deadline);
        this.#flushStatus();
        if (error !== undefined) this.#events?.broken(error.message);
        this.#events?.closed(error === undefined ? 1001 : 1002);
      },
    });
  }

  get unread(): number {
    return this.#connection.unread;
  }

  start(events: PeerEvents): void {
    this.#events = events;
    if (this.#connection.over) return events.closed(1001);
    if (this.#role === 'client') {
      for (const kind of this.#kinds) this.#hear(kind, this.#connection.open(new Map([['streamtype', kind]])));
      return events.ready();
    }
    this.#deadline = setTimeout(() => events.broken('not all streams of the command were opened'), STREAMS_MS);
    this.#connection.resume();
  }

  send(bytes: Buffer): void {
    const [channel, data] = [bytes[0], bytes.subarray(1)];
    if (channel === CHANNEL.close) return this.#streams.get('stdin')?.end();
    const kind = this.#kinds.find((known) => channels[known] === channel);
    if (kind === undefined || data.length === 0) return;
    const stream = this.#streams.get(kind);
    stream?.write(kind === 'resize' ? Buffer.concat([data, Buffer.from('\n')]) : data);
    // The end of the error stream completes the Status.
    if (kind === 'error') stream?.end();
  }

  onDrain(callback: () => void): void {
    if (this.unread <= HIGH_WATER) process.nextTick(callback);
    else this.#connection.onDrain(callback);
  }

  pause(): void {
    this.#connection.pause();
  }

  resume(): void {
    this.#connection.resume();
  }

  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    clearTimeout(this.#deadline);
    for (const stream of this.#streams.values()) stream.end();
    this.#connection.close();
    setTimeout(() => this.#connection.destroy(), LAST_MESSAGES_MS).unref();
    // Towards the API server, everything has been written by now, so the socket need not wait for the other side to close.
    this.#duplex.once('finish', () => this.#role === 'client' && this.#connection.destroy());
  }

  #opened(stream: SpdyStream, headers: Headers): boolean {
    const kind = this.#kinds.find((known) => known === headers.get('streamtype'));
    if (this.#closing || this.#role === 'client' || kind === undefined || this.#streams.has(kind)) {
      if (!this.#closing) this.#events?.broken('a stream that the command does not have');
      return false;
    }
    this.#hear(kind, stream);
    if (this.#streams.size < this.#kinds.length) return true;
    clearTimeout(this.#deadline);
    this.#connection.pause();
    // Send the reply to this stream first.
    process.nextTick(() => !this.#closing && this.#events!.ready());
    return true;
  }

  /** Delivers the content of the error stream as one Status. */
  #flushStatus(): void {
    const status = this.#status;
    this.#status = Buffer.alloc(0);
    if (status.length > 0) this.#events?.frame(frame(CHANNEL.error, status));
  }

  #hear(kind: Kind, stream: SpdyStream): void {
    this.#streams.set(kind, stream);
    const events = this.#events!;
    const resize = new ResizeReader();
    const end = (): void => {
      if (kind === 'stdin' && this.#role === 'server') events.frame(Buffer.of(CHANNEL.close, CHANNEL.stdin));
      if (kind === 'error') this.#flushStatus();
    };
    stream.events = {
      data: (bytes) => {
        if (kind === 'error' && this.#role === 'client') {
          this.#status = Buffer.concat([this.#status, bytes]);
          if (this.#status.length > MAX_STATUS) events.broken('a Status beyond the limit');
        } else if (kind === 'resize') {
          for (const json of resize.push(bytes)) events.frame(frame(CHANNEL.resize, json));
        } else events.frame(frame(channels[kind], bytes));
      },
      ended: end,
      reset: end,
    };
  }
}

/** Reads sizes from a resize stream: a sequence of flat JSON objects, which may be split at any byte. */
export class ResizeReader {
  #held: Buffer = Buffer.alloc(0);

  /** Input too long for a size is returned unchanged, and then refused as a size. */
  *push(bytes: Buffer): Generator<Buffer> {
    let rest: Buffer = Buffer.concat([this.#held, bytes]);
    this.#held = Buffer.alloc(0);
    for (let end = rest.indexOf('}'); end >= 0; end = rest.indexOf('}')) {
      yield trimmed(rest.subarray(0, end + 1));
      rest = rest.subarray(end + 1);
    }
    rest = trimmed(rest);
    if (rest.length > MAX_RESIZE) yield rest;
    else this.#held = rest;
  }
}

/** Without leading white space. */
function trimmed(bytes: Buffer): Buffer {
  let at = 0;
  while (at < bytes.length && (bytes[at] === 0x0a || bytes[at] === 0x20 || bytes[at] === 0x0d || bytes[at] === 0x09)) at += 1;
  return bytes.subarray(at);
}
