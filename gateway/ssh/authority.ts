/**
 * What the gateway asks of the authority. `current()` is null before the first snapshot arrives and when the last one
 * is too old to trust: then nobody is admitted.
 */
import type { SessionCertificateRequest, Snapshot } from '#schemas/api.js';

export interface Authority {
  current(): Snapshot | null;
  /** Called on every change; the returned function ends that. */
  onChange(callback: () => void): () => void;
  /** A public key line with the certificate. Rejects ACCESS_DENIED, LOCKED, CERT_*, AUTHORITY_UNREACHABLE. */
  sessionCertificate(request: SessionCertificateRequest): Promise<string>;
  /** A host certificate of `name` for the key, both as public key lines. */
  hostCertificate(publicKey: string, name: string): Promise<string>;
}
