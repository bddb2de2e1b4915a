/** Participants of a live session, many in one process: the scenarios `live` and `live_crowd` start it. */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { ClientChannel } from 'ssh2';
import { WebSocket } from 'ws';
import { followSession, listSegments } from '#schemas/api/recordings/sessions.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { targetOf } from '#schemas/endpoint/target.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { certificateAuth } from '#runtime/ssh/certified-key.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import { openClient } from '../../../cli/client/client.js';
import { openHome } from '../../../cli/client/home.js';

type Order =
  | { readonly act: 'join'; readonly ssh: string; readonly home: string; readonly user: string; readonly count: number }
  | { readonly act: 'follow'; readonly home: string; readonly session: string; readonly count: number }
  | { readonly act: 'stall'; readonly count: number };

const AT_A_TIME = 8;
const stalls: (() => void)[] = [];

async function joinAll({ ssh, home, user, count }: Order & { readonly act: 'join' }): Promise<void> {
  const [host, port] = ssh.split(':') as [string, string];
  const key = loadPrivateKey(readFileSync(join(home, 'id_ed25519'), 'utf8'));
  const certificate = parseAuthorizedLine(readFileSync(join(home, 'id_ed25519-cert.pub'), 'utf8')).blob;
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const client = new ssh2.Client();
      client.on('error', reject);
      client.on('ready', () =>
        client.shell((error: Error | undefined, channel: ClientChannel) => {
          if (error !== undefined) return reject(error);
          channel.once('data', () => {
            channel.resume();
            resolve();
          });
          stalls.push(() => (client as unknown as { readonly _sock: Socket })._sock.pause());
        }),
      );
      client.connect({
        ...{ host, port: Number(port), username: user, readyTimeout: 60_000, algorithms: transportAlgorithms(), hostVerifier: () => true },
        authHandler: certificateAuth(user, key, certificate),
      });
    });
  await eachOf(count, one);
}

async function followAll({ home, session, count }: Order & { readonly act: 'follow' }): Promise<void> {
  const client = openClient(openHome({ STENO_HOME: home }));
  const { block } = await call(client.viewer, listSegments, { params: { id: session } });
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const { url, headers, ca } = client.socket(targetOf(followSession.path, { id: session }, { after: block, drafts: '1' }));
      const socket = new WebSocket(url, { headers, ...(ca === undefined ? {} : { ca }) });
      socket.on('open', resolve).on('error', reject);
      socket.on('message', () => undefined);
      stalls.push(() => socket.pause());
    });
  await eachOf(count, one);
}

async function eachOf(count: number, one: () => Promise<void>): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      while (left-- > 0) await one();
    }),
  );
}

async function act(order: Order): Promise<void> {
  if (order.act === 'join') await joinAll(order);
  else if (order.act === 'follow') await followAll(order);
  else for (const stall of stalls.splice(0, order.count)) stall();
}

setPriority(10);
process.on('message', (order: Order) => {
  act(order).then(
    () => process.send!({}),
    (error: unknown) => process.send!({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send!({});
