/**
 * `/v1/watch`: a WebSocket on which services get the snapshot, at once and after every change.
 *
 * The stream is one way; a client that sends anything, or that does not take what it is sent, is cut off and connects
 * again. An agent counts as seen while it holds a watch. Tested in authority.test.ts.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Snapshot } from '#schemas/api.js';
import type { ServiceName } from '#schemas/identity.js';
import type { Log } from '#runtime/log.js';
import { peerService } from '#runtime/service-identity.js';
import type { Directory } from './directory.js';
import type { Records } from './records.js';

const PING_MS = 10_000;
const MAX_BUFFERED = 16 << 20;
const MAX_WATCHERS = 10_000;

interface Watcher {
  readonly service: ServiceName;
  alive: boolean;
}

export class Watch {
  readonly #directory: Directory;
  readonly #records: Records;
  readonly #log: Log;
  readonly #clock: () => number;
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: 1024, perMessageDeflate: false });
  readonly #watchers = new Map<WebSocket, Watcher>();
  readonly #timer: NodeJS.Timeout;
  #closed = false;

  constructor(directory: Directory, records: Records, { log, clock }: { readonly log: Log; readonly clock: () => number }) {
    this.#directory = directory;
    this.#records = records;
    this.#log = log;
    this.#clock = clock;
    directory.onChange((snapshot) => {
      const text = JSON.stringify(snapshot);
      for (const socket of this.#watchers.keys()) this.#send(socket, text);
    });
    this.#timer = setInterval(() => this.#ping(), PING_MS);
    this.#timer.unref();
  }

  /** For the server's 'upgrade' event. */
  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const service = peerService(request.socket as TLSSocket);
    const refusal = request.url !== '/v1/watch' ? '404 Not Found' : service === null ? '401 Unauthorized' : this.#watchers.size >= MAX_WATCHERS ? '429 Too Many Requests' : null;
    if (refusal !== null || service === null) {
      socket.on('error', () => undefined);
      socket.end(`HTTP/1.1 ${refusal ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (ws) => this.#accept(ws, service));
  };

  /** Who holds a watch now. */
  connected(): readonly ServiceName[] {
    return [...this.#watchers.values()].map(({ service }) => service);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const socket of this.#watchers.keys()) socket.terminate();
    this.#server.close();
  }

  #accept(socket: WebSocket, service: ServiceName): void {
    const watcher: Watcher = { service, alive: true };
    this.#watchers.set(socket, watcher);
    socket.on('pong', () => { watcher.alive = true; });
    socket.on('message', () => socket.terminate());
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      this.#watchers.delete(socket);
      this.#seen([service]);
    });
    this.#send(socket, JSON.stringify(this.#directory.current() satisfies Snapshot));
    this.#seen([service]);
  }

  #send(socket: WebSocket, text: string): void {
    if (socket.bufferedAmount > MAX_BUFFERED) socket.terminate();
    else socket.send(text);
  }

  #ping(): void {
    for (const [socket, watcher] of this.#watchers) {
      if (!watcher.alive) {
        socket.terminate();
        continue;
      }
      watcher.alive = false;
      socket.ping();
    }
    this.#seen([...this.#watchers.values()].map(({ service }) => service));
  }

  /** Kept in the state, and shown with the next change: a publication every ten seconds would tell nobody anything. */
  #seen(services: readonly ServiceName[]): void {
    if (this.#closed) return;
    const names = services.filter(({ kind }) => kind === 'agent').map(({ name }) => name);
    this.#records.touchNodes(names, this.#clock()).catch((error: unknown) => this.#log.warn({ err: error }, 'when nodes were seen could not be kept'));
  }
}
