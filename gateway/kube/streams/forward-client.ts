/** The client's side of a port-forward, whatever protocol carries it: what the relay needs of it. A `SpdyConnection` is one. */
import type { Duplex } from 'node:stream';
import { SpdyConnection } from '../spdy/connection.js';
import type { StreamEvents } from '../spdy/connection.js';
import type { Headers } from '../spdy/header-block.js';
import type { Pausable } from './holds.js';

export interface ForwardStream {
  events: StreamEvents;
  write(bytes: Buffer): void;
  /** Sends no more. May be repeated. */
  end(): void;
  reset(): void;
}

export interface ForwardClient extends Pausable {
  /** Bytes that the client has not read. */
  readonly unread: number;
  onDrain(callback: () => void): void;
  close(): void;
  destroy(): void;
}

export interface ForwardClientEvents {
  /** The client opened a stream. False: it is refused. */
  opened(stream: ForwardStream, headers: Headers): boolean;
  /** Once; no stream hears of anything afterwards. */
  closed(): void;
}

/** Opened paused, until `resume`. */
export type OpenClient = (events: ForwardClientEvents) => ForwardClient;

export interface SpdySide {
  readonly duplex: Duplex;
  readonly head: Buffer;
}

export function spdyClient({ duplex, head }: SpdySide): OpenClient {
  return (events) => new SpdyConnection(duplex, 'server', head, events);
}
