/** A separate authority: locks its data folder, and writes the run file by which its owner's commands find the socket. */
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import type { AuthorityServiceConfig } from '../../authority/config.js';
import { startAuthorityProcess } from '../../authority/process.js';
import { dataDir, lockDataDir, writeRunFile } from '../machine/data-dir.js';
import { version } from '../machine/version.js';

export async function startAuthorityAsOwner(config: AuthorityServiceConfig, context: { readonly log: Log }): Promise<Running> {
  const dir = dataDir(config.data);
  const unlock = lockDataDir(dir);
  try {
    const { addresses, close } = await startAuthorityProcess(config, context);
    writeRunFile(dir, {
      version,
      pid: process.pid,
      started_at: Date.now(),
      data: dir.path,
      ssh: config.ssh,
      web: config.web,
      tunnel: '',
      authority: addresses.tls,
      ingest: config.ingest[0]!,
      socket: addresses.socket,
      node: null,
      fips: config.fips,
      processes: { authority: process.pid },
    });
    return {
      addresses,
      close: async () => {
        await close();
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}
