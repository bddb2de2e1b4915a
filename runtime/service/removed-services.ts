/**
 * Removed services whose certificates are still valid: a peer that presents the key of one is refused, and existing
 * connections are closed. The snapshot lists them until their last certificate has expired. Keys identify them, since a name
 * may be given to another service. Tested in authority/services/removal.test.ts.
 */
import { X509Certificate, createHash } from 'node:crypto';
import type { Server, TLSSocket } from 'node:tls';
import type { Snapshot } from '#schemas/snapshot.js';
import { parseServiceName } from '#schemas/base/identity.js';
import type { ServiceKind } from '#schemas/base/identity.js';

type Removed = Snapshot['removed_services'];

export class RemovedServices {
  #keys: ReadonlySet<string> = new Set();
  readonly #sockets = new Set<TLSSocket>();
  readonly #listeners = new Set<(kinds: ReadonlySet<ServiceKind>) => void>();

  /** Applies a snapshot: connections of newly removed services are closed before this returns. */
  follow(removed: Removed): void {
    const fresh = removed.filter(({ key }) => !this.#keys.has(key));
    this.#keys = new Set(removed.map(({ key }) => key));
    if (fresh.length === 0) return;
    for (const socket of this.#sockets) if (this.refuses(socket)) socket.destroy();
    const kinds = new Set(fresh.flatMap(({ service }) => parseServiceName(service)?.kind ?? []));
    for (const listener of this.#listeners) listener(kinds);
  }

  /** Closes the connections of the server's peers once they are removed. Admission is up to the server, using `refuses`. */
  guard(server: Server): void {
    server.on('secureConnection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** Whether the other end is a removed service. */
  refuses(socket: TLSSocket): boolean {
    if (this.#keys.size === 0) return false;
    const certificate = socket.getPeerX509Certificate();
    return certificate !== undefined && this.#keys.has(keyHash(certificate));
  }

  /** `raw`: a certificate in DER. */
  names(raw: Buffer): boolean {
    return this.#keys.size > 0 && this.#keys.has(keyHash(new X509Certificate(raw)));
  }

  /**
   * Called with the kinds of services that were just removed, so that connections to them are dialled again. Returns a
   * function that stops this.
   */
  onChange(callback: (kinds: ReadonlySet<ServiceKind>) => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }
}

function keyHash({ publicKey }: X509Certificate): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}
