/**
 * Connects to a gateway for a browser: mutual TLS with the viewer's service certificate, then the bytes of one SSH connection
 * (gateway/tunnel/ssh-relay.ts). The authority lists the connected gateways; they are tried in random order, which spreads terminals
 * over them. Tested in test/end-to-end/terminal-relay.test.ts.
 */
import { request } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { StenoError } from '#schemas/base/errors.js';
import { CLIENT_ADDRESS_HEADER } from '#schemas/endpoint/endpoint.js';
import { NEW, RESUME_HEADER } from '#schemas/terminal/resumption.js';
import { SSH_RELAY, SSH_RELAY_PATH } from '#schemas/tunnel.js';
import type { Log } from '#runtime/log.js';

export interface GatewaySource {
  /** `host:port` of the gateways that are currently connected. */
  readonly list: () => Promise<readonly string[]>;
  /** Client certificate of kind viewer, and the CA of the gateways' certificates. */
  readonly tls: ConnectionOptions;
}

/** Time limit for one gateway: a user is waiting, and there may be other gateways. */
const CONNECT_MS = 4_000;

export interface SshStream {
  readonly stream: Duplex;
  /** Bytes that arrived together with the answer. */
  readonly head: Buffer;
}

export interface SshStreamFor {
  /** The browser's address. */
  readonly client: string;
  /** `NEW`, or the id of a terminal to resume, which one gateway holds; if omitted, a stream without frames. */
  readonly resume?: string;
}

/** Rejects with GATEWAY_UNREACHABLE, or with RECONNECT_REFUSED if the gateway that held the terminal no longer has it. */
export async function reachGateway(source: GatewaySource, wanted: SshStreamFor, signal: AbortSignal, log: Log): Promise<SshStream> {
  const gateways = shuffled(await source.list());
  for (const address of gateways) {
    if (signal.aborted) break;
    try {
      return await reach(address, source.tls, wanted, signal);
    } catch (error) {
      if (error instanceof StenoError && error.code === 'RECONNECT_REFUSED') throw error;
      // Most gateways do not hold the terminal to be resumed.
      if (wanted.resume === undefined || wanted.resume === NEW)
        log.warn({ err: error, gateway: address }, 'a gateway does not take a terminal');
    }
  }
  throw new StenoError('GATEWAY_UNREACHABLE', gateways.length === 0 ? 'no gateway is connected' : `${gateways.length} tried`);
}

function reach(address: string, tls: ConnectionOptions, { client, resume }: SshStreamFor, signal: AbortSignal): Promise<SshStream> {
  const { hostname, port } = new URL(`https://${address}`);
  return new Promise((resolve, reject) => {
    const asked = request({
      ...tls,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port === '' ? 443 : Number(port),
      path: SSH_RELAY_PATH,
      headers: {
        ...{ connection: 'Upgrade', upgrade: SSH_RELAY, [CLIENT_ADDRESS_HEADER]: client },
        ...(resume === undefined ? {} : { [RESUME_HEADER]: resume }),
      },
      // Each connection carries one terminal and is never reused.
      agent: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_MS)]),
    });
    asked.on('upgrade', (_response, stream, head) => {
      stream.on('error', () => stream.destroy());
      resolve({ stream, head });
    });
    asked.on('response', (response) => {
      response.destroy();
      if (response.headers['x-steno-error'] === 'RECONNECT_REFUSED') reject(new StenoError('RECONNECT_REFUSED'));
      else reject(new Error(`the gateway answers ${response.statusCode ?? 0}`));
    });
    asked.on('error', reject);
    asked.end();
  });
}

function shuffled(list: readonly string[]): readonly string[] {
  return list
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
