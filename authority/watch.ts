/**
 * `/v1/watch`: a WebSocket on which services receive the snapshot and then deltas (`schemas/watch.ts`); those that do not
 * support deltas receive the snapshot again.
 *
 * The stream is one-way; a client that sends anything, or does not read, is disconnected and reconnects. An agent counts as
 * present while it holds a watch; it receives the CAs, and nothing about users, nodes or locks. Tested in app.test.ts and
 * watch-log.test.ts.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import type { Snapshot } from '#schemas/snapshot.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { WATCH_HEADER, parseWatch } from '#schemas/watch.js';
import { peerService } from '#runtime/service/identity.js';
import type { Directory } from './directory/directory.js';
import type { LocalHolder } from './inventory/nodes/presence.js';
import { SnapshotLog } from './watch-log.js';

const PING_MS = 3_000;
const MAX_BUFFERED = 16 << 20;
const MAX_WATCHERS = 10_000;

interface Watcher {
  readonly service: ServiceName;
  readonly log: SnapshotLog;
  readonly deltas: boolean;
  alive: boolean;
}

export class Watch {
  readonly #whole: SnapshotLog;
  readonly #least: SnapshotLog;
  readonly #holder: LocalHolder;
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: 1024, perMessageDeflate: false });
  readonly #watchers = new Map<WebSocket, Watcher>();
  readonly #timer: NodeJS.Timeout;
  readonly #removed: (socket: TLSSocket) => boolean;
  #closed = false;

  /** `removed`: whether the other end is a removed service. */
  constructor(directory: Directory, holder: LocalHolder, removed: (socket: TLSSocket) => boolean) {
    this.#removed = removed;
    this.#holder = holder;
    this.#whole = new SnapshotLog(directory.current());
    this.#least = new SnapshotLog(forAgents(directory.current()));
    directory.onChange((snapshot) => {
      const delta = new Map([
        [this.#whole, this.#whole.publish(snapshot)],
        [this.#least, this.#least.publish(forAgents(snapshot))],
      ]);
      for (const [socket, { log, deltas }] of this.#watchers) {
        const text = delta.get(log);
        if (typeof text === 'string') this.#send(socket, deltas ? text : log.plain());
      }
    });
    this.#timer = setInterval(() => this.#ping(), PING_MS);
    this.#timer.unref();
  }

  /** For the server's 'upgrade' event. */
  readonly onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const service = peerService(request.socket as TLSSocket);
    const refusal =
      request.url !== '/v1/watch'
        ? '404 Not Found'
        : service === null
          ? '401 Unauthorized'
          : this.#removed(request.socket as TLSSocket)
            ? '403 Forbidden'
            : this.#watchers.size >= MAX_WATCHERS
              ? '429 Too Many Requests'
              : null;
    if (refusal !== null || service === null) {
      socket.on('error', () => undefined);
      socket.end(`HTTP/1.1 ${refusal ?? ''}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
      return;
    }
    this.#server.handleUpgrade(request, socket, head, (ws) => this.#accept(ws, service, parseWatch(one(request.headers[WATCH_HEADER]))));
  };

  /** Services currently connected. */
  connected(): readonly ServiceName[] {
    return [...this.#watchers.values()].map(({ service }) => service);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    for (const socket of this.#watchers.keys()) socket.terminate();
    this.#server.close();
    await this.#holder.close();
  }

  #accept(socket: WebSocket, service: ServiceName, wish: ReturnType<typeof parseWatch>): void {
    const log = service.kind === 'agent' ? this.#least : this.#whole;
    const watcher: Watcher = { service, log, deltas: wish.kind === 'deltas', alive: true };
    this.#watchers.set(socket, watcher);
    socket.on('pong', () => {
      watcher.alive = true;
    });
    socket.on('message', () => socket.terminate());
    socket.on('error', () => socket.terminate());
    socket.on('close', () => {
      this.#watchers.delete(socket);
      if (service.kind === 'agent' && !this.#closed) this.#holder.down(service.name);
    });
    for (const text of wish.kind === 'deltas' ? log.since(wish.from) : [log.plain()]) this.#send(socket, text);
    if (service.kind === 'agent') this.#holder.up(service.name);
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
  }
}

function one(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}

/** A compromised node must not learn who may go where. */
function forAgents(snapshot: Snapshot): Snapshot {
  return {
    ...snapshot,
    roles: [],
    nodes: [],
    locks: [],
    notices: [],
    invitations: [],
    grants: [],
    void_grants: [],
    names_since: {},
    own_since: {},
    clusters: [],
    kube_clusters: [],
  };
}
