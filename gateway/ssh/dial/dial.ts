/**
 * Connects the gateway to a node: over TCP or a tunnel held by the node's agent, with key exchange, a check of the node's
 * identity, and a certificate for this one login.
 *
 *     connecting ──► keying ──host verified──► asking ──accepted──► reached
 *         │             │                        └──► NODE_REFUSED
 *         │             └──► NODE_HOST_KEY
 *         └──► NODE_UNREACHABLE (also: anything that takes longer than DIAL_LIMIT_MS)
 *
 * The certificate is requested while keys are exchanged. Tested in ../server/gateway.test.ts against stock sshd, and through
 * tunnels in test/end-to-end/clients.test.ts.
 */
import { connect } from 'node:net';
import { StenoError } from '#schemas/base/errors.js';
import { parseDialAddress } from '#schemas/base/host-port.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { userAuthData, userAuthRequest } from '#schemas/ssh/user-auth.js';
import { SshReader, SshWriter } from '#schemas/ssh/wire.js';
import { certificateType } from '#schemas/ssh/certificate.js';
import { MSG } from '#schemas/ssh/numbers.js';
import { hostVerifier } from '#runtime/ssh/certified-key.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { message } from '../transport/messages.js';
import { printable } from '../../sessions/refusal.js';
import { Transport } from '../transport/transport.js';
import { SocketWire } from '../../edge/socket-wire.js';
import type { Wire } from '../../edge/socket-wire.js';

const DIAL_LIMIT_MS = 15_000;
/** Characters of a node's banners that are kept. */
const MAX_BANNER = 4096;

/** Opens a stream to a node's agent. Throws NODE_UNREACHABLE. */
export type OpenTunnel = (node: NodeRecord, source: string) => Wire;

export interface DialRequest {
  readonly node: NodeRecord;
  readonly openTunnel: OpenTunnel;
  /** The user's address. */
  readonly source: string;
  /** Name required in the host certificate; the node's name by default. */
  readonly hostName?: string;
  readonly login: string;
  readonly key: SshPrivateKey;
  /** Blob of the certificate for `key`. */
  readonly certificate: Promise<Uint8Array>;
  /** Blobs of the host CA keys. */
  readonly hostAuthorities: readonly Uint8Array[];
  /** Unix seconds. */
  readonly now: () => number;
  /** Aborted when the user disconnects. */
  readonly signal: AbortSignal;
}

/** Rejects with NODE_UNREACHABLE, NODE_HOST_KEY or NODE_REFUSED, or as `certificate` does. */
export async function dial({
  node,
  openTunnel,
  source,
  hostName = node.name,
  login,
  key,
  certificate,
  hostAuthorities,
  now,
  signal,
}: DialRequest): Promise<Transport> {
  certificate.catch(() => undefined);
  return new Promise((resolve, reject) => {
    let failure: StenoError | undefined;
    let hangUp = (): void => undefined;
    const fail = (error: unknown): void => {
      settle();
      hangUp();
      reject(error instanceof Error ? error : new StenoError('NODE_UNREACHABLE', node.name));
    };
    const timer = setTimeout(
      () => fail(new StenoError('NODE_UNREACHABLE', `${node.name} did not answer within ${DIAL_LIMIT_MS / 1000} s`)),
      DIAL_LIMIT_MS,
    );
    const aborted = (): void => fail(new StenoError('NODE_UNREACHABLE', 'the user disconnected'));
    const settle = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
    };
    signal.addEventListener('abort', aborted);
    const speak = (wire: Wire): void => {
      const transport = new Transport(
        wire,
        {
          kind: 'client',
          hostVerifier: hostVerifier({
            hostname: hostName,
            authorities: hostAuthorities,
            pinned: node.host_keys.map((line) => parseAuthorizedLine(line).blob),
            now,
            onRefused: (error) => {
              failure = error;
            },
          }),
        },
        {
          // Send both messages at once: servers process them in order, and every server has this service.
          secured: () => {
            transport.send(message.serviceRequest('ssh-userauth'));
            certificate.then((blob) => transport.send(authenticate(transport.sessionId, login, key, blob)), fail);
          },
          message: (payload) => {
            switch (payload[0]) {
              case MSG.userauthBanner: {
                const reader = new SshReader(payload, 'BAD_REQUEST');
                reader.byte('the type');
                transport.banner = (transport.banner + Buffer.from(reader.string('the banner')).toString()).slice(0, MAX_BANNER);
                return undefined;
              }
              case MSG.userauthSuccess:
                settle();
                return resolve(transport);
              case MSG.userauthFailure:
                // A refusing node's banner is meant for the user, for example text from PAM.
                return fail(
                  new StenoError(
                    'NODE_REFUSED',
                    `login ${printable(login, 64)} on ${node.name}${transport.banner === '' ? '' : `: ${printable(transport.banner.trim().replace(/\s*\n\s*/g, '; '), 256)}`}`,
                  ),
                );
              default:
                return undefined;
            }
          },
          drained: () => undefined,
          closed: (reason) =>
            fail(
              failure ??
                new StenoError(
                  'NODE_UNREACHABLE',
                  `${node.name} closed the connection${reason === undefined ? '' : ` (${printable(reason, 128)})`}`,
                ),
            ),
        },
      );
      hangUp = () => transport.destroy();
    };
    try {
      if (node.tunnel_key !== undefined) speak(openTunnel(node, source));
      else hangUp = connectTo(node, speak, fail);
    } catch (error) {
      fail(error);
    }
  });
}

/** Returns a function that cancels the attempt before it is connected. */
function connectTo(node: NodeRecord, connected: (wire: Wire) => void, fail: (error: StenoError) => void): () => void {
  const address = parseDialAddress(node.address);
  if (address === undefined) throw new StenoError('NODE_UNREACHABLE', `${node.name} has no valid address`);
  const socket = connect({ ...address, noDelay: true });
  const unreachable = (error: NodeJS.ErrnoException): void =>
    fail(new StenoError('NODE_UNREACHABLE', `${node.name} at ${node.address} (${error.code ?? 'connection lost'})`));
  socket.once('error', unreachable);
  socket.once('connect', () => {
    socket.off('error', unreachable);
    connected(new SocketWire(socket));
  });
  return () => void socket.destroy();
}

/** Sends the request with its signature right away: asking first whether the certificate is acceptable costs a round trip. */
function authenticate(sessionId: Buffer, login: string, key: SshPrivateKey, certificate: Uint8Array): Uint8Array {
  const algorithm = certificateType(key.type === 'ssh-rsa' ? 'rsa-sha2-512' : key.type);
  const request = userAuthRequest({ userName: login, algorithm, publicKey: certificate, hostKey: null });
  const signature = key.sign(userAuthData(sessionId, request));
  return new SshWriter().raw(request).string(signature).bytes();
}
