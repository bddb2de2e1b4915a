/** The client's side of a port-forward as the relay needs it, whatever protocol carries it. A `SpdyConnection` is one. */
import type { Duplex } from 'node:stream';
import { SpdyConnection } from '../spdy/connection.js';
import type { StreamEvents } from '../spdy/connection.js';
import type { Headers } from '../spdy/header-block.js';
import type { Pausable } from './holds.js';

export interface ForwardStream {
  events: StreamEvents;
  write(bytes: Buffer): void;
  /** Sends no more. May be called again. */
  end(): void;
  reset(): void;
}

export interface ForwardClient extends Pausable {
  /** Bytes sent and not yet read by the client. */
  readonly unread: number;
  onDrain(callback: () => void): void;
  close(): void;
  destroy(): void;
}

export interface ForwardClientEvents {
  /** The client opened a stream. Return false to refuse it. */
  opened(stream: ForwardStream, headers: Headers): boolean;
  /** Called once; no stream gets an event afterwards. */
  closed(): void;
}

/** The client is paused until `resume`. */
export type OpenClient = (events: ForwardClientEvents) => ForwardClient;

export interface SpdySide {
  readonly duplex: Duplex;
  readonly head: Buffer;
}

export function spdyClient({ duplex, head }: SpdySide): OpenClient {
  return (events) => new SpdyConnection(duplex, 'server', head, events);
}
