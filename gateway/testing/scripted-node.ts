/**
 * A node that is the test's own SSH server: it notes every request that reaches it and runs the test's handler for each command. It
 * admits every user, so that only the gateway's checks apply.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import ssh2 from 'ssh2';
import type { ServerChannel } from 'ssh2';
import type { NodeRecord } from '#schemas/policy/role.js';
import { transportAlgorithms } from '#runtime/ssh/algorithms.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { setExtensions } from '#runtime/ssh/own-messages.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';

export interface ScriptedNode {
  readonly record: NodeRecord;
  /** Requests about sessions, in order: their names (for `env` with the variable) and their data as text. */
  readonly requests: (readonly [name: string, data: string])[];
  stop(): Promise<void>;
}

/** `extensions`: names and values that the node announces, alternating. */
export async function startScriptedNode(
  name: string,
  kind: NodeRecord['kind'],
  extensions: readonly string[],
  run: (channel: ServerChannel, command: string) => void,
): Promise<ScriptedNode> {
  const hostKey = generateKey();
  const requests: ScriptedNode['requests'] = [];
  const clients = new Set<{ end(): void }>();
  const server = new ssh2.Server({ hostKeys: [hostKey.toOpenSsh()], algorithms: transportAlgorithms() }, (client) => {
    clients.add(client);
    setExtensions(client, extensions);
    client.on('error', () => undefined);
    client.on('close', () => clients.delete(client));
    client.on('authentication', (context) => context.accept());
    client.on('session', (accept) => {
      const session = accept();
      session.on('env', (yes, _no, { key, val }) => {
        requests.push([`env ${key}`, val]);
        yes?.();
      });
      (session as unknown as NodeJS.EventEmitter).on('request', (_yes, no: (() => void) | undefined, { name: what, data }) => {
        requests.push([what as string, data instanceof Uint8Array ? Buffer.from(data).subarray(4).toString() : '']);
        no?.();
      });
      session.on('exec', (yes, _no, { command }) => {
        requests.push(['exec', command]);
        const channel = yes();
        channel.on('error', () => undefined);
        run(channel, command);
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    record: {
      name,
      kind,
      address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      labels: {},
      host_keys: [formatPublicLine(hostKey.publicBlob)],
      last_seen_at: null,
    },
    requests,
    stop: async () => {
      for (const client of clients) client.end();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
