/**
 * TLS to a server of which nothing is known but the pin of its CA, for whoever joins.
 *
 *     look ──a CA of the chain has the pin──► trust that CA, connect again
 *       └──none has──► null, and nothing was said
 *
 * The first connection believes nothing and says nothing: it is there to find the CA's certificate. The second is checked by
 * TLS as every other, against that CA alone. Tested in test/agent/tunnel.test.ts and authority/services/services.test.ts.
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

/** The certificate in PEM of the CA that has one of the pins, or null. `address`: `host:port`. Throws NOT_RUNNING. */
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

/** For `checkServerIdentity`: the server's certificate is of this kind of service, whatever its address. */
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

/** The code of a failure to verify the server, which is no failure to reach it; undefined for any other. */
export function verificationFailure(error: unknown): string | undefined {
  const { code } = ((error as { cause?: { code?: unknown } }).cause ?? {}) as { code?: unknown };
  return typeof code === 'string' && /CERT|SELF_SIGNED|VERIFY|ISSUER|ERR_TLS|ERR_WRONG_SERVICE_KIND|ERR_SSL/.test(code) ? code : undefined;
}

/** Calls go over one connection, which is known, to sign for it. */
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

  /** Base64 of the exporter value (RFC 9266) of the connection. */
  channel(): string {
    if (this.#socket === undefined) throw new StenoError('INTERNAL', 'no connection to sign for');
    return channelBinding(this.#socket);
  }
}

/** RFC 9266, base64. */
export function channelBinding(socket: TLSSocket): string {
  return socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0)).toString('base64');
}
