/**
 * Addresses to listen on. A taken port is found out before anything starts, so that the message names the option and
 * not a stage; port 0 becomes a free port that stays the same when a stage is restarted. Tested in cli/machine/data-dir.test.ts.
 */
import { createServer } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { splitAddress } from '../client/home.js';

/** `host:port` with the port that will be used. Throws PORT_TAKEN or USAGE. */
export async function reserve(address: string, option: string): Promise<string> {
  const { host, port } = splitAddress(address);
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE'
          ? 'is in use'
          : error.code === 'EACCES'
            ? 'may not be used by this user'
            : (error.code ?? error.message);
      reject(new StenoError('PORT_TAKEN', `${host}:${port} ${why} (${option})`));
    });
    server.listen({ host, port, exclusive: true }, () => {
      const bound = server.address();
      if (bound === null || typeof bound === 'string') throw new StenoError('INTERNAL', 'no address');
      server.close(() => resolve(`${host.includes(':') ? `[${host}]` : host}:${bound.port}`));
    });
  });
}
