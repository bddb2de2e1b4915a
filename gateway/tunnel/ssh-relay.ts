/**
 * SSH connections of browsers, relayed by viewers: an upgraded connection carries the bytes of one SSH connection, and its head names the
 * browser's address.
 *
 *     viewer/NAME ──upgrade /v1/ssh, X-Steno-Client: ADDRESS──► SSH listener, as a stranger from ADDRESS
 *         └──X-Steno-Resume: new──► the same, in frames, so that it can go on over another connection (decision 0165)
 *         └──X-Steno-Resume: ID──► goes on (resumptions.ts)
 *
 * Only a viewer's certificate is accepted, because the peer that names the address determines which limits and which `source-address` of
 * certificates apply. SSH alone identifies the user, as for every other client. Decision 0129. Tested in
 * test/end-to-end/terminal-relay.test.ts.
 */
import { isIP } from 'node:net';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { CLIENT_ADDRESS_HEADER } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import { unmappedAddress } from '#schemas/base/ip-address.js';
import { NEW, RESUME_HEADER } from '#schemas/terminal/resumption.js';
import { SSH_RELAY } from '#schemas/tunnel.js';
import { peerService } from '#runtime/service/identity.js';
import { DuplexWire } from '../edge/duplex-wire.js';
import { ResumableWire } from '../edge/resumable-wire.js';
import { realTimers } from '../edge/keep-terms.js';
import type { WireTimers } from '../edge/keep-terms.js';
import type { Wire } from '../edge/socket-wire.js';
import { Resumptions } from './resumptions.js';

/** Limit for all viewers together; connections that are not admitted yet have their own limits (ssh/server/listener.ts). */
export const MAX_RELAYED = 4_096;

export interface SshRelayDeps {
  /** Whether the peer is a removed service. */
  readonly removed: (socket: TLSSocket) => boolean;
  /** False: this gateway takes no more connections, so that viewers go to another. */
  readonly taking: () => boolean;
  /** Takes a connection whose client is at `source`. */
  readonly accept: (wire: Wire, source: string) => void;
}

export interface AdmittedBrowser {
  readonly source: string;
  readonly way:
    { readonly kind: 'plain' } | { readonly kind: 'new' } | { readonly kind: 'resume'; readonly kept: ReturnType<Resumptions['find']> };
}

export class SshRelays {
  readonly #deps: SshRelayDeps;
  readonly #timers: WireTimers;
  readonly #open = new Set<Duplex>();
  readonly #resumptions: Resumptions;

  constructor(gateway: string, deps: SshRelayDeps, timers: WireTimers = realTimers) {
    this.#deps = deps;
    this.#timers = timers;
    this.#resumptions = new Resumptions(gateway, timers);
  }

  /**
   * Returns the browser's address and the kind of connection it wants. Throws the errors of `Resumptions.find`, CERT_UNKNOWN_CA,
   * SERVICE_REMOVED, DRAINING, TOO_MANY, or BAD_REQUEST if the head names no address.
   */
  admit(request: IncomingMessage): AdmittedBrowser {
    const socket = request.socket as TLSSocket;
    const service = peerService(socket);
    if (service === null || service.kind !== 'viewer')
      throw new StenoError('CERT_UNKNOWN_CA', 'connections of browsers need the certificate of a viewer');
    if (this.#deps.removed(socket)) throw new StenoError('SERVICE_REMOVED', formatServiceName(service));
    const said = request.headers[CLIENT_ADDRESS_HEADER];
    if (typeof said !== 'string' || isIP(said) === 0) throw new StenoError('BAD_REQUEST', 'the address of the browser is missing');
    const source = unmappedAddress(said);
    const resume = request.headers[RESUME_HEADER];
    // Resuming is allowed while the gateway drains, since sessions continue then.
    if (typeof resume === 'string' && resume !== NEW) return { source, way: { kind: 'resume', kept: this.#resumptions.find(resume) } };
    if (!this.#deps.taking()) throw new StenoError('DRAINING');
    if (this.#open.size >= MAX_RELAYED) throw new StenoError('TOO_MANY', 'terminals in browsers');
    return { source, way: { kind: resume === undefined ? 'plain' : 'new' } };
  }

  /** `stream`: the TLS socket of an admitted upgrade request; `head`: bytes that followed it. */
  take(stream: Duplex, head: Buffer, { source, way }: AdmittedBrowser): void {
    this.#open.add(stream);
    stream.on('close', () => this.#open.delete(stream));
    stream.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${SSH_RELAY}\r\n\r\n`);
    if (way.kind === 'resume') this.#resumptions.take(way.kept, stream, head, source);
    else this.#deps.accept(way.kind === 'plain' ? new DuplexWire(stream, head) : this.#resumable(stream, head), source);
  }

  #resumable(stream: Duplex, head: Buffer): ResumableWire {
    return new ResumableWire(stream, head, {
      timers: this.#timers,
      keep: (wire, terms) => this.#resumptions.keep(wire, terms),
      closed: (wire) => this.#resumptions.closed(wire),
    });
  }

  /** Ends the connections of viewers that were removed in the meantime. */
  recheck(): void {
    for (const stream of this.#open) if (this.#deps.removed(stream as TLSSocket)) stream.destroy();
  }

  close(): void {
    for (const stream of this.#open) stream.destroy();
  }
}
