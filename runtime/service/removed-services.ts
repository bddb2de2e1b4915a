/**
 * Services that were removed while their certificates still hold: whoever shows the key of one is refused, and connections that
 * are there end. Which they are the snapshot says, until the last certificate has run out. What counts is the key: a name is free
 * for another one. Tested in authority/services/removal.test.ts.
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

  /** Takes over what a snapshot says: connections of those that are new in it end before this returns. */
  follow(removed: Removed): void {
    const fresh = removed.filter(({ key }) => !this.#keys.has(key));
    this.#keys = new Set(removed.map(({ key }) => key));
    if (fresh.length === 0) return;
    for (const socket of this.#sockets) if (this.refuses(socket)) socket.destroy();
    const kinds = new Set(fresh.flatMap(({ service }) => parseServiceName(service)?.kind ?? []));
    for (const listener of this.#listeners) listener(kinds);
  }

  /** Ends what the server's peers hold, once they are removed. Whom it lets in is for its own code, by `refuses`. */
  guard(server: Server): void {
    server.on('secureConnection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** Whether the other end is one. */
  refuses(socket: TLSSocket): boolean {
    if (this.#keys.size === 0) return false;
    const certificate = socket.getPeerX509Certificate();
    return certificate !== undefined && this.#keys.has(keyHash(certificate));
  }

  /** `raw`: a certificate in DER. */
  names(raw: Buffer): boolean {
    return this.#keys.size > 0 && this.#keys.has(keyHash(new X509Certificate(raw)));
  }

  /** Called with the kinds of services that were removed just now: connections to one are dialled anew. Returns how to stop. */
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
