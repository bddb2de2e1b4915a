/**
 * Forwarding on one connection (RFC 4254, 7; OpenSSH PROTOCOL, agent forwarding), performed by the node for the client.
 *
 * The session's certificate lists what roles allow (schemas/policy/forwarding.ts); names are resolved and checked before
 * anything connects (destinations.ts). TCP and Unix sockets are opened as the account (account-sockets.ts); the agent's
 * socket is in a folder owned by root (runtime-folder.ts). Listeners end with the connection. Tested in
 * test/agent/agent.test.ts, test/agent/streamlocal.test.ts and test/agent/helper-attack.test.ts with stock clients.
 */
import { chmodSync, chownSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Connection, ServerChannel } from 'ssh2';
import type { Log } from '#runtime/log.js';
import { openAgentChannel } from '#runtime/ssh/agent-channel.js';
import { refuseListening, refuseSocket } from '#schemas/policy/forwarding.js';
import type { Forwarding as ForwardRules } from '#schemas/policy/forwarding.js';
import { AccountSockets } from './account-sockets.js';
import type { Account } from '../login/account.js';
import type { Boundary } from './boundary.js';
import { ForbiddenDestination, permittedDestinations } from './destinations.js';
import type { Helpers, Listening } from '../helper/helper.js';
import type { Place } from '../helper/messages.js';
import type { RuntimeFolder, SocketPlace } from './runtime-folder.js';

const MAX_LISTENERS = 64;
/** Per connection: further connections to its listeners are closed, so that they cannot use up the service's descriptors. */
const MAX_SOCKETS = 1024;
/** Lower ports are reserved, whatever the account. */
const FIRST_FREE_PORT = 1024;

/** The client shows the text; the typings lack this parameter (patches/). */
type Refuse = (why: string) => void;
type Accept = (() => void) | undefined;
type Reject = (() => void) | undefined;

export interface ForwardingParts {
  readonly account: Account;
  /** The rules of the user's roles. */
  readonly rules: ForwardRules;
  readonly boundary: Boundary;
  readonly helpers: Helpers;
  readonly log: Log;
  /** Throws if there is none. */
  readonly runtime: () => RuntimeFolder;
}

export class Forwarding {
  readonly #client: Connection;
  readonly #parts: ForwardingParts;
  readonly #account: AccountSockets;
  /** By `address:port` or path. */
  readonly #listeners = new Map<string, Listening>();
  readonly #sockets = new Set<Socket>();
  /** Listeners being created: their requests are unanswered. */
  readonly #unanswered = new Set<Promise<void>>();
  #agent: { readonly place: SocketPlace; readonly server: Server } | undefined;
  #closed = false;

  constructor(client: Connection, parts: ForwardingParts) {
    this.#client = client;
    this.#parts = parts;
    this.#account = new AccountSockets(parts.account, parts.helpers, parts.log);
    client.on('tcpip', (accept, reject, { destIP, destPort }) => this.#dialTcp(destIP, destPort, accept, reject as Refuse));
    client.on('openssh.streamlocal', (accept, reject, { socketPath }) => {
      const why = refuseSocket(parts.rules);
      if (why !== null) return (reject as Refuse)(`steno: ${why} [ACCESS_DENIED]`);
      this.#inside(() => this.#dial([{ kind: 'path', path: socketPath }], accept, reject as Refuse));
    });
    client.on('request', (accept, reject, name, info) => {
      // The typings cover only TCP.
      const path = (info as { readonly socketPath?: unknown } | null)?.socketPath;
      if (name === 'tcpip-forward') return this.#answer(() => this.#listenTcp(info.bindAddr, info.bindPort, accept, reject));
      if (name === 'cancel-tcpip-forward') return this.#cancel(`${info.bindAddr}:${info.bindPort}`, accept as Accept, reject);
      if (name === 'streamlocal-forward@openssh.com' && typeof path === 'string')
        return this.#answer(() => this.#listenPath(path, accept as Accept, reject));
      if (name === 'cancel-streamlocal-forward@openssh.com' && typeof path === 'string')
        return this.#cancel(path, accept as Accept, reject);
      reject?.();
    });
  }

  /** Socket of the client's agent, for this connection's programs. */
  agentSocket(): string | undefined {
    return this.#agent?.place.path;
  }

  /** Offers the client's agent to this connection's programs. Throws if the socket cannot be created. */
  forwardAgent(): void {
    if (this.#agent !== undefined) return;
    const place = this.#parts.runtime().socket();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      if (!this.#keep(socket)) return;
      openAgentChannel(this.#client, (error, channel) => {
        if (error !== undefined) socket.destroy();
        else couple(socket, channel);
      });
    });
    server.on('error', (error) => this.#parts.boundary.fail(error));
    this.#agent = { place, server };
    // The socket exists when this returns: only root reaches it before ownership is changed.
    server.listen(place.path);
    if (process.getuid!() === 0) chownSync(place.path, this.#parts.account.uid, this.#parts.account.gid);
    chmodSync(place.path, 0o600);
  }

  close(): void {
    this.#closed = true;
    for (const listener of this.#listeners.values()) listener.close();
    this.#listeners.clear();
    this.#account.close();
    this.#agent?.server.close();
    this.#agent?.place.remove();
    this.#agent = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Resolves when all requests for listeners received so far are answered; null if they are. */
  answered(): Promise<void> | null {
    return this.#unanswered.size === 0 ? null : Promise.allSettled(this.#unanswered).then(() => undefined);
  }

  #answer(listen: () => Promise<void>): void {
    this.#inside(() => {
      const answering = listen();
      this.#unanswered.add(answering);
      return answering.finally(() => this.#unanswered.delete(answering));
    });
  }

  #inside(work: () => Promise<void>): void {
    void this.#parts.boundary.run(work);
  }

  #dialTcp(host: string, port: number, accept: () => ServerChannel, refuse: Refuse): void {
    this.#inside(async () => {
      let addresses: readonly string[];
      try {
        addresses = await permittedDestinations(this.#parts.rules, { host, port });
      } catch (error) {
        return refuse(error instanceof ForbiddenDestination ? `steno: ${error.message} [ACCESS_DENIED]` : reasonOf(error));
      }
      return this.#dial(
        addresses.map((address) => ({ kind: 'tcp', host: address, port })),
        accept,
        refuse,
      );
    });
  }

  /** Connects to the first of these (at least one) that answers. */
  async #dial([first, ...others]: readonly Place[], accept: () => ServerChannel, refuse: Refuse): Promise<void> {
    let result = await this.#account.connect(first!);
    for (const place of others) {
      if ('socket' in result) break;
      result = await this.#account.connect(place);
    }
    if ('why' in result) return refuse(result.why);
    if (!this.#keep(result.socket)) return refuse('too many forwarded connections');
    couple(result.socket, accept());
  }

  async #listenTcp(address: string, port: number, accept: ((chosenPort: number) => void) | undefined, reject: Reject): Promise<void> {
    if (refuseListening(this.#parts.rules, false) !== null) return reject?.();
    if (port !== 0 && port < FIRST_FREE_PORT && this.#parts.account.uid !== 0) return reject?.();
    // Only loopback, like sshd's GatewayPorts=no: a forwarding must not expose the node to its network.
    const place: Place = { kind: 'tcp', host: address === '::1' ? '::1' : '127.0.0.1', port };
    const listener = await this.#listen(
      (bound) => `${address}:${bound}`,
      place,
      (socket, bound) => {
        const origin = { ip: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
        this.#client.forwardOut(address, bound, origin.ip, origin.port, (error, channel) => {
          if (error !== undefined) socket.destroy();
          else couple(socket, channel as unknown as ServerChannel);
        });
      },
    );
    if (listener === null) reject?.();
    else accept?.(listener.port);
  }

  async #listenPath(path: string, accept: Accept, reject: Reject): Promise<void> {
    if (refuseListening(this.#parts.rules, true) !== null || this.#listeners.has(path)) return reject?.();
    const listener = await this.#listen(
      () => path,
      { kind: 'path', path },
      (socket) => {
        this.#client.openssh_forwardOutStreamLocal(path, (error, channel) => {
          if (error !== undefined) socket.destroy();
          else couple(socket, channel as unknown as ServerChannel);
        });
      },
    );
    if (listener === null) reject?.();
    else accept?.();
  }

  async #listen(name: (port: number) => string, place: Place, accepted: (socket: Socket, port: number) => void): Promise<Listening | null> {
    if (this.#listeners.size >= MAX_LISTENERS) return null;
    let bound = 0;
    const listener = await this.#account.listen(place, (socket) => {
      this.#parts.boundary.run(() => {
        if (this.#keep(socket)) accepted(socket, bound);
      });
    });
    if (listener === null) return null;
    bound = listener.port;
    if (this.#closed || this.#listeners.size >= MAX_LISTENERS || this.#listeners.has(name(bound))) {
      listener.close();
      return null;
    }
    this.#listeners.set(name(bound), listener);
    return listener;
  }

  #cancel(name: string, accept: Accept, reject: Reject): void {
    const listener = this.#listeners.get(name);
    if (listener === undefined) return reject?.();
    this.#listeners.delete(name);
    listener.close();
    accept?.();
  }

  /** False: there are too many, and this one is closed. */
  #keep(socket: Socket): boolean {
    socket.on('error', () => socket.destroy());
    if (this.#closed || this.#sockets.size >= MAX_SOCKETS) {
      socket.destroy();
      return false;
    }
    this.#parts.boundary.watch(socket);
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => this.#sockets.delete(socket));
    return true;
  }
}

/** Joins both, each direction separately: one that has ended leaves the other open (RFC 4254, 5.3), as sshd does. */
function couple(socket: Socket, channel: ServerChannel): void {
  // ssh2 closes a server channel as soon as writing ends, which would lose data still coming in.
  channel.removeAllListeners('prefinish').removeAllListeners('finish');
  const closeBoth = (): void => {
    if (socket.closed && channel.writableFinished) channel.close();
  };
  channel.on('finish', () => {
    channel.eof();
    closeBoth();
  });
  socket.on('close', () => {
    if (!channel.writableEnded) channel.end();
    closeBoth();
  });
  channel.on('error', () => socket.destroy());
  // Data read from the channel is still written out.
  channel.on('close', () => socket.destroySoon());
  socket.pipe(channel).pipe(socket);
}

/** In sshd's words: "connection refused", or why a name could not be resolved. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
