/** A stock OpenSSH server as a node of a whole Steno: own configuration, a free loopback port, stopped by its pid. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Steno } from './machine.js';
import { sshdConfig } from '#runtime/testing/sshd-config.js';
import { freePort } from '#runtime/http/free-port.js';

export const sshdPath = '/usr/sbin/sshd';

export interface StockNode {
  readonly name: string;
  readonly port: number;
  /** Paths of its host key (the certificate is beside it) and of its trusted user CAs. */
  readonly hostKey: string;
  readonly userCa: string;
  /** Makes sshd reread its files; connections stay open. */
  reload(): void;
  stop(): Promise<void>;
}

/** Registers `name` and starts its sshd. `certified` false: its host key carries no certificate of the host CA. */
export async function startStockNode(steno: Steno, name: string, { certified = true } = {}): Promise<StockNode> {
  const dir = join(steno.folder, `sshd-${name}`);
  mkdirSync(dir, { mode: 0o700 });
  mkdirSync('/run/sshd', { recursive: true });
  const hostKey = join(dir, 'host_key');
  const must = async (file: string, ...args: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await steno.exec(file, args);
    if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${status}\n${stderr}`);
    return stdout;
  };
  await must('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', hostKey);
  const port = await freePort();
  const stenoMust = async (...args: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await steno.steno(...args);
    if (status !== 0) throw new Error(`steno ${args.join(' ')}: ${status}\n${stderr}`);
    return stdout;
  };
  await stenoMust('nodes', 'add', name, `127.0.0.1:${port}`);
  writeFileSync(join(dir, 'user_ca.pub'), await stenoMust('ca', 'export', 'user'));
  if (certified) writeFileSync(`${hostKey}-cert.pub`, await stenoMust('ca', 'sign-host', `${hostKey}.pub`, '--name', name));
  writeFileSync(
    join(dir, 'sshd_config'),
    sshdConfig({
      port,
      hostKeys: [{ key: hostKey, certificate: certified ? `${hostKey}-cert.pub` : undefined }],
      userCas: join(dir, 'user_ca.pub'),
    }),
  );
  const child = spawn(sshdPath, ['-D', '-e', '-f', join(dir, 'sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  await listening(child);
  return {
    name,
    port,
    hostKey,
    userCa: join(dir, 'user_ca.pub'),
    reload: () => void child.kill('SIGHUP'),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

async function listening(child: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr!.on('data', (chunk: Buffer) => {
      if (said.length < 65_536) said += chunk.toString('utf8');
      if (said.includes('Server listening')) resolve();
    });
    child.once('exit', (code) => reject(new Error(`sshd ended with ${code}:\n${said}`)));
  });
}
