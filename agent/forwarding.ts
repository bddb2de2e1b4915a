/**
 * Forwardings of one connection (RFC 4254, 7; OpenSSH PROTOCOL, agent forwarding): opened by the node for the client.
 *
 * TCP from the agent itself; Unix sockets as the account (unix-sockets.ts). Listeners end with the connection. Tested in test/agent/agent.test.ts with stock clients.
 */
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection, ServerChannel } from 'ssh2';
import { openAgentChannel } from '#runtime/ssh/agent-channel.js';
import type { Account } from './account.js';
import { UnixSockets } from './unix-sockets.js';

const MAX_LISTENERS = 64;
const DIAL_LIMIT_MS = 20_000;

export class Forwarding {
  readonly #client: Connection;
  readonly #account: Account;
  readonly #listeners = new Map<string, Server>();
  readonly #unixListeners = new Map<string, () => void>();
  #unix: UnixSockets | undefined;
  readonly #sockets = new Set<Socket>();
  #agent: { readonly folder: string; readonly path: string; readonly server: Server } | undefined;

  constructor(client: Connection, account: Account) {
    this.#client = client;
    this.#account = account;
    client.on('tcpip', (accept, reject, { destIP, destPort }) => {
      const socket = connect({ host: destIP, port: destPort, timeout: DIAL_LIMIT_MS, allowHalfOpen: true });
      this.#keep(socket);
      const refuse = (): void => reject();
      socket.once('error', refuse);
      socket.once('timeout', () => socket.destroy(new Error('timeout')));
      socket.once('connect', () => {
        socket.off('error', refuse);
        socket.setTimeout(0);
        couple(socket, accept());
      });
    });
    client.on('openssh.streamlocal', (accept, reject, { socketPath }) => {
      void this.#unixSockets()
        .connect(socketPath)
        .then((socket) => {
          if (socket === null) return reject();
          this.#keep(socket);
          couple(socket, accept());
        });
    });
    client.on('request', (accept, reject, name, info) => {
      // The typings know TCP alone.
      const socketPath = (info as { readonly socketPath?: unknown } | null)?.socketPath;
      if (name === 'tcpip-forward') return this.#listen(info.bindAddr, info.bindPort, accept, reject);
      if (name === 'cancel-tcpip-forward') {
        const key = `${info.bindAddr}:${info.bindPort}`;
        const server = this.#listeners.get(key);
        if (server === undefined) return reject?.();
        this.#listeners.delete(key);
        server.close();
        return accept?.();
      }
      if (name === 'streamlocal-forward@openssh.com' && typeof socketPath === 'string')
        return void this.#listenUnix(socketPath, accept as (() => void) | undefined, reject);
      if (name === 'cancel-streamlocal-forward@openssh.com' && typeof socketPath === 'string') {
        const stop = this.#unixListeners.get(socketPath);
        if (stop === undefined) return reject?.();
        this.#unixListeners.delete(socketPath);
        stop();
        return accept?.();
      }
      reject?.();
    });
  }

  /** Offers the client's agent to this connection's programs; answers the socket's path. */
  agentSocket(): string | undefined {
    return this.#agent?.path;
  }

  forwardAgent(): boolean {
    if (this.#agent !== undefined) return true;
    const folder = mkdtempSync(join(tmpdir(), 'steno-agent-'));
    const path = join(folder, 'agent');
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#keep(socket);
      openAgentChannel(this.#client, (error, channel) => {
        if (error !== undefined) socket.destroy();
        else couple(socket, channel);
      });
    });
    server.on('error', () => undefined);
    server.listen(path, () => {
      // The folder is 0700 and belongs to the account: nobody else reaches the socket.
      chownSync(path, this.#account.uid, this.#account.gid);
      chownSync(folder, this.#account.uid, this.#account.gid);
    });
    this.#agent = { folder, path, server };
    return true;
  }

  close(): void {
    for (const server of this.#listeners.values()) server.close();
    this.#listeners.clear();
    this.#unix?.close();
    this.#unixListeners.clear();
    if (this.#agent !== undefined) {
      this.#agent.server.close();
      rmSync(this.#agent.folder, { recursive: true, force: true });
      this.#agent = undefined;
    }
    for (const socket of this.#sockets) socket.destroy();
  }

  #listen(address: string, port: number, accept: ((chosenPort: number) => void) | undefined, reject: (() => void) | undefined): void {
    // Ports below 1024 are the machine's, whoever the agent runs as.
    if (this.#listeners.size >= MAX_LISTENERS || (port !== 0 && port < 1024 && this.#account.uid !== 0)) return reject?.();
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#keep(socket);
      const origin = { ip: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
      this.#client.forwardOut(address, bound(server), origin.ip, origin.port, (error, channel) => {
        if (error !== undefined) socket.destroy();
        else couple(socket, channel as unknown as ServerChannel);
      });
    });
    server.once('error', () => reject?.());
    // Only loopback, as sshd's GatewayPorts=no: a forwarding must not open the node to its network.
    server.listen({ host: address === '::1' ? '::1' : '127.0.0.1', port }, () => {
      this.#listeners.set(`${address}:${bound(server)}`, server);
      accept?.(bound(server));
    });
  }

  #unixSockets(): UnixSockets {
    this.#unix ??= new UnixSockets(this.#account);
    return this.#unix;
  }

  async #listenUnix(path: string, accept: (() => void) | undefined, reject: (() => void) | undefined): Promise<void> {
    if (this.#listeners.size + this.#unixListeners.size >= MAX_LISTENERS || this.#unixListeners.has(path)) return reject?.();
    const stop = await this.#unixSockets().listen(path, (socket) => {
      this.#keep(socket);
      this.#client.openssh_forwardOutStreamLocal(path, (error, channel) => {
        if (error !== undefined) socket.destroy();
        else couple(socket, channel as unknown as ServerChannel);
      });
    });
    if (stop === null) return reject?.();
    this.#unixListeners.set(path, stop);
    accept?.();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  }
}

function bound(server: Server): number {
  const address = server.address();
  return address === null || typeof address === 'string' ? 0 : address.port;
}

/** Joins both, each direction on its own: one that has ended leaves the other open (RFC 4254, 5.3), as sshd does. */
function couple(socket: Socket, channel: ServerChannel): void {
  // ssh2 closes a server's channel as soon as nothing more is written to it, and what still comes in would be lost.
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
  // What was read from the channel is still written out.
  channel.on('close', () => socket.destroySoon());
  socket.pipe(channel).pipe(socket);
}
