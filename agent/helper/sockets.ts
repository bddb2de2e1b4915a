/**
 * The socket operations of a helper as an account: it connects and listens, by path or over TCP, and hands connected sockets
 * over unread.
 *
 * Runs only in the helper (program.ts), after it has taken the account's ids: the kernel checks each call as for any program
 * of the account, peers see that user (SO_PEERCRED), and firewall rules that name users apply. Sockets at paths are created
 * for their owner only and never replace an existing file (sshd: StreamLocalBindMask 0177, StreamLocalBindUnlink no). Tested
 * in test/agent/streamlocal.test.ts.
 */
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { sendDescriptor } from './descriptors.js';
import type { Answer, Place } from './messages.js';

const DIAL_LIMIT_MS = 20_000;

export class AccountSockets {
  readonly #over: number;
  readonly #answer: (answer: Answer) => void;
  readonly #servers = new Map<number, Server>();
  #handovers = 0;

  /** `over`: the socket on which descriptors are sent. */
  constructor(over: number, answer: (answer: Answer) => void) {
    this.#over = over;
    this.#answer = answer;
  }

  connect(id: number, place: Place): void {
    const socket = connect({ ...optionsOf(place), timeout: DIAL_LIMIT_MS, allowHalfOpen: true });
    // Nothing may be read here: the receiver reads the socket from its first byte.
    socket.pause();
    socket.once('timeout', () => socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })));
    socket.once('error', (error) => this.#failed(id, error));
    socket.once('connect', () => {
      socket.removeAllListeners('error').on('error', () => undefined);
      const handover = this.#handOver(socket);
      if (handover === null) this.#answer({ kind: 'failed', id, code: 'EAGAIN' });
      else this.#answer({ kind: 'connected', id, handover });
    });
  }

  listen(id: number, place: Place): void {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      const handover = this.#handOver(socket);
      if (handover !== null) this.#answer({ kind: 'accepted', id, handover });
    });
    const failed = (error: Error): void => this.#failed(id, error);
    server.once('error', failed);
    server.listen(optionsOf(place), () => {
      server.off('error', failed).on('error', () => undefined);
      this.#servers.set(id, server);
      const address = server.address();
      this.#answer({ kind: 'listening', id, port: typeof address === 'object' && address !== null ? address.port : 0 });
    });
  }

  closeListener(id: number): void {
    this.#servers.get(id)?.close();
    this.#servers.delete(id);
  }

  /** Also removes the paths of listeners. */
  close(): void {
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }

  /**
   * The handover number, or null if the service already has as many pending as the kernel queues; the socket is then
   * dropped.
   */
  #handOver(socket: Socket): number | null {
    const { _handle: handle } = socket as unknown as { readonly _handle: { readonly fd: number } | null };
    const handover = (this.#handovers + 1) >>> 0;
    const sent = handle !== null && sendDescriptor(this.#over, handover, handle.fd);
    // The service has its own descriptor, so this does not end the connection.
    socket.destroy();
    if (!sent) return null;
    this.#handovers = handover;
    return handover;
  }

  #failed(id: number, { code = '' }: NodeJS.ErrnoException): void {
    this.#answer({ kind: 'failed', id, code: /^[A-Z0-9_]{1,32}$/.test(code) ? code : '' });
  }
}

function optionsOf(place: Place): { readonly path: string } | { readonly host: string; readonly port: number } {
  return place.kind === 'path' ? { path: place.path } : { host: place.host, port: place.port };
}
