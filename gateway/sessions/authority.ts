/**
 * The gateway's interface to the authority. `current()` throws until the first snapshot has arrived: until then nobody is admitted.
 */
import type { SessionConfirmationRequest } from '#schemas/api/people/confirmations.js';
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import type { Snapshot } from '#schemas/snapshot.js';
import type { SnapshotDelta } from '#schemas/watch.js';
import type { PlaceReport, PlaceRequest } from '#schemas/session-place.js';

export interface Authority {
  current(): Snapshot;
  /** Calls back on every change, with the delta from the last snapshot if it is known; the returned function unsubscribes. */
  onChange(callback: (delta: SnapshotDelta | null) => void): () => void;
  /** Returns a public key line with the certificate. Rejects ACCESS_DENIED, LOCKED, CERT_*, AUTHORITY_UNREACHABLE. */
  sessionCertificate(request: SessionCertificateRequest): Promise<string>;
  /** Passes `shown` the address at which the user confirms the session. Rejects SESSION_UNCONFIRMED, or the reason why it cannot ask. */
  confirmSession(request: SessionConfirmationRequest, shown: (url: string) => void, signal: AbortSignal): Promise<string>;
  /** Takes a slot among a user's connections over all gateways. Rejects SESSIONS_TOO_MANY. False: report all slots again. */
  takePlace(request: PlaceRequest): Promise<boolean>;
  tellPlaces(report: PlaceReport): Promise<boolean>;
  /**
   * A host certificate of `name` for the key, as public key lines; `own`: a certificate of the caller whose names the new one also gets.
   */
  hostCertificate(publicKey: string, name: string, own?: string): Promise<string>;
}
