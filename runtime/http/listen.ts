/** Listening on a TCP port. Tested in listen.test.ts. */
import type { AddressInfo, Server } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort } from '#schemas/base/host-port.js';
import type { HostPort } from '#schemas/base/host-port.js';

/**
 * Resolves with the address and port that the system bound. Rejects with PORT_TAKEN, or with the system's error. `onError` gets
 * later errors, such as EMFILE for a connection that could not be accepted; without a handler they would end the process.
 */
export async function listenAt(server: Server, at: HostPort, onError: (error: Error) => void): Promise<HostPort> {
  await new Promise<void>((resolve, reject) => {
    const refused = (error: NodeJS.ErrnoException): void =>
      reject(error.code === 'EADDRINUSE' ? new StenoError('PORT_TAKEN', formatHostPort(at), { cause: error }) : error);
    server.once('error', refused);
    server.listen({ host: at.host, port: at.port }, () => {
      server.off('error', refused).on('error', onError);
      resolve();
    });
  });
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}
