/** Listening on a TCP port. Tested in listen.test.ts. */
import type { AddressInfo, Server } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort } from '#schemas/base/host-port.js';
import type { HostPort } from '#schemas/base/host-port.js';

/** Resolves with the address and port that the system bound. Rejects with PORT_TAKEN, or with the system's error. */
export async function listenAt(server: Server, at: HostPort): Promise<HostPort> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void =>
      reject(error.code === 'EADDRINUSE' ? new StenoError('PORT_TAKEN', formatHostPort(at), { cause: error }) : error);
    server.once('error', onError);
    server.listen({ host: at.host, port: at.port }, () => {
      server.off('error', onError);
      resolve();
    });
  });
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}
