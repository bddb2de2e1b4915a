/** Strangers that send nothing, noise, or an unfinished message, from loopback addresses of their own. */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { requireHostPort } from '#schemas/base/host-port.js';

/** Milliseconds between the bytes of a slow stranger. */
const DRIP_MS = 400;

export interface Stranger {
  readonly socket: Socket;
  /** Milliseconds from the connection to its end. */
  readonly closed: Promise<number>;
}

/** Calls `say` with the connected socket. `from` is an address of 127.0.0.0/8. */
export function stranger(address: string, from: string, say: (socket: Socket) => void): Stranger {
  const socket = connect({
    ...requireHostPort(address),
    localAddress: from,
    allowHalfOpen: true,
  });
  const begun = Date.now();
  socket.on('error', () => undefined);
  // Discard all input: otherwise a full buffer could keep the connection open.
  socket.resume();
  socket.once('connect', () => say(socket));
  const closed = new Promise<number>((resolve) => {
    const done = (): void => {
      socket.destroy();
      resolve(Date.now() - begun);
    };
    socket.once('end', done);
    socket.once('close', done);
  });
  return { socket, closed };
}

export const silent = (): void => undefined;

export function noise(bytes: number): (socket: Socket) => void {
  return (socket) => void socket.write(randomBytes(bytes));
}

/** Sends `first` at once and then single bytes for ever. */
export function slowly(first: string | Buffer): (socket: Socket) => void {
  return (socket) => {
    socket.write(first);
    const timer = setInterval(() => socket.write('a'), DRIP_MS);
    socket.once('close', () => clearInterval(timer));
  };
}
