/**
 * Finds a port for a listener that is started later, by another process, or repeatedly. The kernel gives outgoing
 * connections ports of its ephemeral range (ip(7), `ip_local_port_range`), so any connection that this machine opens may
 * take a port of that range that was free a moment ago; a port outside the range can only be taken by another listener.
 */
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

const EPHEMERAL_RANGE = '/proc/sys/net/ipv4/ip_local_port_range';
/** Lower ports may belong to well-known services that are started later. */
const LOWEST = 10_240;
const TRIES = 100;

/** A free TCP port of `host` outside the ephemeral range. Throws the system's error if the address cannot be used or no port is free. */
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

/** Listens on the port and stops. Resolves with the port, which the system chooses for 0. Rejects with the system's error (EADDRINUSE, EACCES, EADDRNOTAVAIL). */
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

/** The first port of the ephemeral range; Linux's default if the range cannot be read or leaves little room below. */
function firstEphemeral(): number {
  const LINUX_DEFAULT = 32_768;
  try {
    const first = Number.parseInt(readFileSync(EPHEMERAL_RANGE, 'utf8'), 10);
    return first >= LOWEST + 1_000 ? first : LINUX_DEFAULT;
  } catch {
    return LINUX_DEFAULT;
  }
}
