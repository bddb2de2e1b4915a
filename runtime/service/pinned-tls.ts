/**
 * TLS to a server of which only the pin of its CA is known, for joining.
 *
 *     look ──a CA of the chain matches the pin──► trust that CA, connect again
 *       └──none does──► null, and nothing was sent
 *
 * The first connection trusts nothing and sends nothing: it only retrieves the CA's certificate. The second is verified by
 * TLS as usual, against that CA alone. Tested in test/agent/tunnel.test.ts and authority/services/services.test.ts.
 */
import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';
import { connect } from 'node:tls';
import type { ConnectionOptions, DetailedPeerCertificate, PeerCertificate, TLSSocket } from 'node:tls';
import type { Duplex } from 'node:stream';
import { StenoError } from '#schemas/base/errors.js';
import { parseServiceName } from '#schemas/base/identity.js';
import type { ServiceKind } from '#schemas/base/identity.js';
import { pinOf } from './joining.js';

const LOOK_LIMIT_MS = 10_000;
const MAX_CHAIN = 8;

/** The PEM certificate of the CA that matches one of the pins, or null. `address`: `host:port`. Throws NOT_RUNNING. */
export async function pinnedCa(address: string, pins: readonly string[]): Promise<string | null> {
  const { hostname, port } = new URL(`https://${address}`);
  const chain = await new Promise<readonly Buffer[]>((resolve, reject) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 443),
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    });
    const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), LOOK_LIMIT_MS);
    socket.on('error', (cause) => reject(new StenoError('NOT_RUNNING', `${address} does not answer`, { cause })));
    socket.on('close', () => clearTimeout(timer));
    socket.on('secureConnect', () => {
      resolve(chainOf(socket.getPeerCertificate(true)));
      socket.destroy();
    });
  });
  for (const raw of chain) {
    const certificate = new X509Certificate(raw);
    if (certificate.ca && pins.includes(pinOf(certificate.publicKey.export({ type: 'spki', format: 'der' }))))
      return certificate.toString();
  }
  return null;
}

function chainOf(leaf: DetailedPeerCertificate): readonly Buffer[] {
  const chain: Buffer[] = [];
  for (
    let at: DetailedPeerCertificate | undefined = leaf;
    at?.raw !== undefined && chain.length < MAX_CHAIN;
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate
  )
    chain.push(at.raw);
  return chain;
}

/** For `checkServerIdentity`: accepts a certificate of this kind of service, whatever its address. */
export function isOfKind(kind: ServiceKind): (host: string, certificate: PeerCertificate) => Error | undefined {
  return (_host, { subject }) => {
    const found = typeof subject?.CN === 'string' ? parseServiceName(subject.CN)?.kind : undefined;
    return found === kind ? undefined : new WrongKind(kind);
  };
}

class WrongKind extends Error {
  readonly code = 'ERR_WRONG_SERVICE_KIND';

  constructor(kind: ServiceKind) {
    super(`the server is not of kind ${kind}`);
  }
}

/** The error code if the server failed verification, as opposed to being unreachable; otherwise undefined. */
export function verificationFailure(error: unknown): string | undefined {
  const { code } = ((error as { cause?: { code?: unknown } }).cause ?? {}) as { code?: unknown };
  return typeof code === 'string' && /CERT|SELF_SIGNED|VERIFY|ISSUER|ERR_TLS|ERR_WRONG_SERVICE_KIND|ERR_SSL/.test(code) ? code : undefined;
}

/** Sends all calls over one known connection, so that requests can be signed for it. */
export class PinnedAgent extends Agent {
  #socket: TLSSocket | undefined;

  constructor(ca: string, kind: ServiceKind) {
    super({ ca, checkServerIdentity: isOfKind(kind), minVersion: 'TLSv1.3', keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
  }

  override createConnection(
    options: ConnectionOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const socket = super.createConnection(options, callback);
    this.#socket = socket as TLSSocket;
    return socket;
  }

  /** The connection's exporter value (RFC 9266), in base64. */
  channel(): string {
    if (this.#socket === undefined) throw new StenoError('INTERNAL', 'there is no connection to sign for');
    return channelBinding(this.#socket);
  }
}

/** RFC 9266, base64. */
export function channelBinding(socket: TLSSocket): string {
  return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)).toString('base64');
}
