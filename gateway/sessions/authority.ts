/**
 * What the gateway asks of the authority. `current()` throws while nothing was heard of it: then nobody is admitted.
 */
import type { SessionConfirmationRequest } from '#schemas/api/people/confirmations.js';
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { SnapshotDelta } from '#schemas/watch.js';
import type { PlaceReport, PlaceRequest } from '#schemas/session-place.js';

export interface Authority {
  current(): Snapshot;
  /** Called on every change, with what turned the last snapshot into this one where that is known; the returned function ends that. */
  onChange(callback: (delta: SnapshotDelta | null) => void): () => void;
  /** A public key line with the certificate. Rejects ACCESS_DENIED, LOCKED, CERT_*, AUTHORITY_UNREACHABLE. */
  sessionCertificate(request: SessionCertificateRequest): Promise<string>;
  /** Tells `shown` what the user opens to confirm the session. Rejects SESSION_UNCONFIRMED, or why it cannot be asked. */
  confirmSession(request: SessionConfirmationRequest, shown: (url: string) => void, signal: AbortSignal): Promise<string>;
  /** A place among a user's connections, over all gateways. Rejects SESSIONS_TOO_MANY. False: say everything again. */
  takePlace(request: PlaceRequest): Promise<boolean>;
  tellPlaces(report: PlaceReport): Promise<boolean>;
  /** A host certificate of `name` for the key, as public key lines; `own`: with the names of this certificate of the caller. */
  hostCertificate(publicKey: string, name: string, own?: string): Promise<string>;
}
