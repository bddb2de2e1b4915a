/** Many concurrent recorded sessions: a small ssh2 server as node, and ssh2 clients that reach it through the gateway. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { ClientChannel, ServerChannel } from 'ssh2';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { certificateAuth } from '#runtime/ssh/certified-key.js';
import { generateKey, loadPrivateKey } from '#runtime/ssh/keys.js';
import type { Field } from './field.js';

export interface Member {
  readonly client: ssh2.Client;
  readonly channel: ClientChannel;
}

export interface Crowd {
  readonly members: readonly Member[];
  /** Opens a shell and resolves with its first output. */
  open(): Promise<Member>;
  /** Opens eight at a time. */
  openMany(count: number): Promise<void>;
  close(): void;
}

/** `shell` handles each session at the node and must print something. `name`: name of the node. */
export async function gather(field: Field, name: string, shell: (channel: ServerChannel) => void): Promise<Crowd> {
  const { steno } = field;
  const hostKey = generateKey();
  const node = new ssh2.Server({ hostKeys: [hostKey.toOpenSsh()] }, (connection) => {
    connection.on('error', () => undefined);
    connection.on('authentication', (context) => context.accept());
    connection.on('session', (accept) => {
      const session = accept();
      session.on('pty', (yes) => yes?.());
      session.on('shell', (yes) => shell(yes()));
    });
  });
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', 4096, resolve));
  const { port } = node.address() as AddressInfo;
  const keyFile = join(steno.folder, `${name}.pub`);
  writeFileSync(keyFile, formatPublicLine(hostKey.publicBlob));
  const added = await steno.steno('nodes', 'add', name, `127.0.0.1:${port}`, '--host-key', keyFile);
  if (added.status !== 0) throw new Error(added.stderr);

  const home = join(steno.folder, 'home');
  const key = loadPrivateKey(readFileSync(join(home, 'id_ed25519'), 'utf8'));
  const certificate = parseAuthorizedLine(readFileSync(join(home, 'id_ed25519-cert.pub'), 'utf8')).blob;
  const members: Member[] = [];
  const [host, sshPort] = steno.run.ssh.split(':') as [string, string];
  const user = `${steno.login}@${name}`;
  const open = (): Promise<Member> =>
    new Promise((resolve, reject) => {
      const client = new ssh2.Client();
      client.on('error', reject);
      client.on('ready', () =>
        client.shell((error: Error | undefined, channel: ClientChannel) => {
          if (error !== undefined) return reject(error);
          const member = { client, channel };
          members.push(member);
          channel.once('data', () => resolve(member));
        }),
      );
      client.connect({
        host,
        port: Number(sshPort),
        username: user,
        readyTimeout: 60_000,
        algorithms: transportAlgorithms(),
        authHandler: certificateAuth(user, key, certificate),
        hostVerifier: () => true,
      });
    });
  return {
    members,
    open,
    async openMany(count) {
      let left = count;
      await Promise.all(
        Array.from({ length: 8 }, async () => {
          while (left-- > 0) await open();
        }),
      );
    },
    close() {
      for (const { client } of members) client.destroy();
      node.close();
    },
  };
}

/** Number of sessions, at most `count`, that the limit of open files lets a gateway hold: each has two sockets. */
export function within(count: number, pid: number): number {
  const limit = Number(/Max open files\s+(\d+)/.exec(readFileSync(`/proc/${pid}/limits`, 'utf8'))![1]);
  const fit = Math.floor((limit - 600) / 2);
  if (fit < count) process.stderr.write(`  ${limit} open files allow ${fit} sessions, not ${count}\n`);
  return Math.min(count, fit);
}

export interface Usage {
  /** Resident bytes. */
  readonly memory: number;
  /** CPU seconds so far. */
  readonly cpu: number;
}

export function usage(pid: number): Usage {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return { memory: Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024, cpu: (Number(stat[11]) + Number(stat[12])) / 100 };
}
