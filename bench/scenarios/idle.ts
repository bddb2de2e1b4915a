/** What an idle recorded session costs the gateway, and how fast sessions are set up. The node is a small ssh2 server. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import ssh2 from 'ssh2';
import type { ClientChannel } from 'ssh2';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { certificateAuth } from '#runtime/ssh/certified-key.js';
import { generateKey, loadPrivateKey } from '#runtime/ssh/keys.js';
import type { Field } from '../field.js';
import { round3 } from '../measure.js';
import type { Section } from '../measure.js';

interface Usage {
  /** Resident bytes. */
  readonly memory: number;
  /** CPU seconds so far. */
  readonly cpu: number;
}

function usage(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return { memory: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024, cpu: (Number(stat[11]) + Number(stat[12])) / 100 };
}

export async function idle(field: Field, count: number): Promise<Section> {
  process.stderr.write(`${count} idle sessions\n`);
  const { steno } = field;
  const hostKey = generateKey();
  const node = new ssh2.Server({ hostKeys: [hostKey.toOpenSsh()] }, (connection) => {
    connection.on('error', () => undefined);
    connection.on('authentication', (context) => context.accept());
    connection.on('session', (accept) => {
      const session = accept();
      session.on('pty', (yes) => yes?.());
      session.on('shell', (yes) => void yes().write('$ '));
    });
  });
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
  const { port } = node.address() as AddressInfo;
  const keyFile = join(steno.folder, 'idle.pub');
  writeFileSync(keyFile, formatPublicLine(hostKey.publicBlob));
  const added = await steno.steno('nodes', 'add', 'idle', `127.0.0.1:${port}`, '--host-key', keyFile);
  if (added.status !== 0) throw new Error(added.stderr);

  const home = join(steno.folder, 'home');
  const key = loadPrivateKey(readFileSync(join(home, 'id_ed25519'), 'utf8'));
  const certificate = parseAuthorizedLine(readFileSync(join(home, 'id_ed25519-cert.pub'), 'utf8')).blob;
  const clients: ssh2.Client[] = [];
  const [host, sshPort] = steno.run.ssh.split(':') as [string, string];
  const user = `${steno.login}@idle`;
  const open = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const client = new ssh2.Client();
      clients.push(client);
      client.on('error', reject);
      client.on('ready', () =>
        client.shell((error: Error | undefined, channel: ClientChannel) => {
          if (error !== undefined) return reject(error);
          channel.once('data', () => resolve());
        }));
      client.connect({ host, port: Number(sshPort), username: user, algorithms: transportAlgorithms(), authHandler: certificateAuth(user, key, certificate), hostVerifier: () => true });
    });

  const pid = steno.run.processes['gateway']!;
  for (let i = 0; i < 20; i++) await open();
  await sleep(2_000);
  const before = usage(pid);
  const start = performance.now();
  let left = count;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (left-- > 0) await open();
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  const after = usage(pid);
  // What was only needed to set them up goes by itself.
  await sleep(15_000);
  const settled = usage(pid);
  for (const client of clients) client.destroy();
  node.close();
  const cpuEach = (after.cpu - before.cpu) / count;
  return {
    title: 'Idle sessions, and setting them up',
    how: `${count} recorded shells through one gateway process to a small ssh2 server, eight being set up at a time; client, node and gateway share the cores. Memory is resident memory over that of 20 sessions, 15 s after the last.`,
    header: ['KB a session', 'set-ups a second, all on this machine', 'gateway CPU a set-up', 'set-ups a second of gateway CPU'],
    rows: [[round3((settled.memory - before.memory) / count / 1000), round3(count / seconds), `${round3(cpuEach * 1000)} ms`, round3(1 / cpuEach)]],
  };
}
