/**
 * A port for a listener that is started later, by another process, or again. The kernel gives outgoing connections
 * ports of its ephemeral range (ip(7), `ip_local_port_range`), so a port of that range that was free a moment ago may
 * be taken by any connection that this machine opens; one from outside it can only be taken by another listener.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const EPHEMERAL_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
/** Below are ports of well-known services, which may be started later. */
const LOWEST = 10_240;
const TRIES = 100;

/** A free TCP port of `host` outside the ephemeral range. Throws the system's error when the address cannot be used, or none is free. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const end = firstEphemeral();
  for (let tried = 1; ; tried++) {
    const port = randomInt(LOWEST, end);
    try {
      await listenOnce(host, port);
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tried === TRIES) throw error;
    }
  }
}

/** Listens on the port and stops: throws the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL) when that is impossible. Resolves with the port, which differs from the given one when that is 0. */
export async function listenOnce(host: string, port: number): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address();
      server.close(() => (bound !== null && typeof bound === 'object' ? resolve(bound.port) : reject(new Error('no address'))));
    });
  });
}

/** The first port of the ephemeral range; where the system does not say, or has left little room below, Linux's default. */
function firstEphemeral(): number {
  const LINUX_DEFAULT = 32_768;
  try {
    const first = Number.parseInt(readFileSync(EPHEMERAL_RANGE, 'utf8'), 10);
    return first >= LOWEST + 1_000 ? first : LINUX_DEFAULT;
  } catch {
    return LINUX_DEFAULT;
  }
}
