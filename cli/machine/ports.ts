/**
 * Addresses to listen on. A taken port is found out before anything starts, so that the message names the option and
 * not a stage; port 0 becomes a free port that stays the same when a stage is restarted. Tested in cli/machine/data-dir.test.ts.
 */
import { freePort, listenOnce } from '#runtime/http/free-port.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort, requireHostPort } from '#schemas/base/host-port.js';

/** `host:port` with the port that will be used. Throws PORT_TAKEN or USAGE. */
export async function reserve(address: string, option: string): Promise<string> {
  const { host, port } = requireHostPort(address);
  try {
    const free = port === 0 ? await freePort(host) : await listenOnce(host, port);
    return formatHostPort({ host, port: free });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'is in use' : code === 'EACCES' ? 'may not be used by this user' : (code ?? 'cannot be used');
    throw new StenoError('PORT_TAKEN', `${host}:${port} ${why} (${option})`, { cause: error });
  }
}
