/**
 * Second factors for requests to Kubernetes: kubectl cannot prompt for one, so a request that needs it is refused with an address, and
 * succeeds when repeated after the confirmation.
 *
 *     refused, waiting ──code or passkey of this very user──► approved ──for five minutes──► (gone)
 *          │                └──denied──► denied
 *          └──five minutes──► (gone)
 *
 * An approval is valid for this user, cluster and address, through any gateway, for every request whose role requires one: `kubectl cp`
 * of a folder or `apply` of a chart makes many requests. Enforcement is up to the gateway, which has the cluster's credential; the
 * user's proof is checked here, as for sessions (session-confirmations.ts), and the same page shows it. Tested in
 * kube-confirmations.test.ts.
 */
import type { KubeConfirmation, KubeConfirmationRequest } from '#schemas/api/people/confirmations.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { kubeUserOf } from '#schemas/policy/kubernetes.js';
import { assertCounts, assertUnlocked } from '#runtime/http/request-auth.js';
import { assertTrusted, assertUnexpired, certifiedUser } from '#runtime/http/x509-user.js';
import type { Directory } from '../../directory/directory.js';
import { auditRow } from '../../records/audit.js';
import { confirmation, insertConfirmation, standingConfirmation, waitingConfirmations } from '../../records/logins.js';
import type { Records } from '../../records/records.js';
import { hashOf, newToken } from '#runtime/tokens.js';
import { KUBE_CONFIRMATION_MS, MAX_WAITING_PER_USER, kubeNode } from './confirmation-terms.js';

export interface KubeConfirmationParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly clock: () => number;
  /** Base URL of the page. */
  readonly web: string;
}

export class KubeConfirmations {
  readonly #parts: KubeConfirmationParts;

  constructor(parts: KubeConfirmationParts) {
    this.#parts = parts;
  }

  /** Throws CERT_*, LOCKED, ACCESS_DENIED, REQUEST_OVER for an invalid certificate; KUBE_CLUSTER_UNKNOWN, TOO_MANY. */
  async ask(gateway: ServiceName, request: KubeConfirmationRequest): Promise<KubeConfirmation> {
    const { records, directory, clock, web } = this.#parts;
    const now = clock();
    const { cluster, source_address: source } = request;
    const snapshot = directory.current();
    const user = certifiedUser(Buffer.from(request.user_certificate, 'base64'));
    assertTrusted(user, snapshot);
    assertUnexpired(user, now);
    assertCounts(user.identity, snapshot, now);
    if (!snapshot.kube_clusters.some(({ name }) => name === cluster)) throw new StenoError('KUBE_CLUSTER_UNKNOWN', cluster);
    const place = { user: user.identity.user, node: kubeNode(cluster), login: kubeUserOf(user.identity), source };
    const standing = await records.read((db) => standingConfirmation(db, place, now));
    if (standing !== undefined) {
      assertUnlocked(snapshot.locks, [['mfa-device', standing.mfa]], now);
      return { state: 'approved', ...standing };
    }
    const known = await this.#known(request.token, place, now);
    if (known !== undefined) return known;
    const token = newToken();
    const expires_at = now + KUBE_CONFIRMATION_MS;
    const by = formatServiceName(gateway);
    const row = auditRow(
      now,
      { actor: place.user, source },
      { event: 'session_mfa.ask', target: cluster, login: place.login, data: { gateway: by, kubernetes: true } },
    );
    await records.act([row], async (tx) => {
      if ((await waitingConfirmations(tx, place.user, now)) >= MAX_WAITING_PER_USER)
        throw new StenoError('TOO_MANY', `sessions of ${place.user} that wait for a second factor`);
      await insertConfirmation(tx, { hash: hashOf(token), ...place, gateway: by, created_at: now, expires_at });
    });
    return { state: 'waiting', token, url: `${web}/confirm#${token}`, expires_at };
  }

  /** The outcome of an earlier identical request; undefined if none is still pending. */
  async #known(
    token: string | undefined,
    place: { readonly user: string; readonly node: string; readonly source: string },
    now: number,
  ): Promise<KubeConfirmation | undefined> {
    if (token === undefined) return undefined;
    const { records, web } = this.#parts;
    const row = await records.read((db) => confirmation(db, hashOf(token), now));
    if (row === undefined || row.user !== place.user || row.node !== place.node || row.source !== place.source) return undefined;
    if (row.state === 'denied') return { state: 'denied' };
    return row.state === 'waiting'
      ? { state: 'waiting', token, url: `${web}/confirm#${token}`, expires_at: Number(row.expires_at) }
      : undefined;
  }
}
