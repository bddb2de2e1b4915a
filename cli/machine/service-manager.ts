/**
 * The interface between a service and its manager: systemd.exec(5), CREDENTIALS; sd_notify(3).
 *
 * Both are left out where no systemd is above. Tested in test/deploy/systemd.test.ts and service-manager.test.ts.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A credential that the unit loads: it stands in no argument and no environment, and only this service can read it. */
export function credential(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const folder = env['CREDENTIALS_DIRECTORY'];
  if (folder === undefined) return undefined;
  try {
    return readFileSync(join(folder, name), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Reports that the service has started; `status` is what `systemctl status` shows. By systemd-notify(1):
 * Node.js has no datagrams of Unix sockets, and a message counts only with the id of this process, which root may give.
 */
export function tellReady(status: string, env: NodeJS.ProcessEnv = process.env): Promise<void> {
  if (env['NOTIFY_SOCKET'] === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    // Without it the service manager gives up on us after a while, and says so.
    execFile('systemd-notify', ['--ready', `--status=${status}`], { env, timeout: 10_000 }, () => resolve());
  });
}
