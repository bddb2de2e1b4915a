/**
 * Session certificates, which a gateway presents to a node for one session. This is the authority's hot path.
 *
 * Order, for each request:
 *   1. check: the user certificate again (CA, validity, address, locks), the user's own signature (user-proofs.ts), login,
 *      node, `decide` with current roles;
 *   2. claim the user's connection and commit the certificate's row, which assigns its serial, and its audit row, together
 *      with those of all waiting requests (one fsync for many);
 *   3. sign;
 *   4. answer.
 * Crash before 2: nothing happened. Crash after 2: rows name a certificate that nobody received; the audit may
 *      list too much, never too little. A failed commit refuses the whole batch, and nothing is signed.
 *
 * A verified CA signature on a user certificate is remembered by the certificate's bytes, since it cannot change; everything
 * else is checked each time. Tested in sessions.test.ts.
 */
import type { SessionCertificateRequest } from '#schemas/api/services/certificates.js';
import { remoteNode } from '#schemas/documents/cluster.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName, namesLogin } from '#schemas/base/identity.js';
import type { ServiceName } from '#schemas/base/identity.js';
import { decide } from '#schemas/policy/node.js';
import { decodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { AuditRow } from '#schemas/events/rows.js';
import { assertUnlocked, checkUserCertificate } from '#runtime/http/request-auth.js';
import { auditRow } from '../records/audit.js';
import type { Caller } from '../records/audit.js';
import type { Ca } from '../ca/ca.js';
import { certifiableKey, clusterShape, sessionShape } from '../ca/certificates.js';
import type { Directory } from '../directory/directory.js';
import { hashOf } from '#runtime/tokens.js';
import { takeConfirmation } from '../records/logins.js';
import { insertCertificates } from '../records/records.js';
import type { NewCertificate, Records } from '../records/records.js';
import { claimOf, takeClaims } from './user-proofs.js';
import type { Claim } from './user-proofs.js';

interface Waiting {
  readonly claim: Claim;
  readonly certificate: NewCertificate;
  readonly row: (serial: bigint) => AuditRow;
  readonly resolve: (serial: bigint) => void;
  readonly reject: (error: unknown) => void;
}

const MAX_WAITING = 10_000;
const MAX_BATCH = 500;
const MAX_REMEMBERED = 4096;

export class SessionCertificates {
  readonly #ca: Ca;
  readonly #directory: Directory;
  readonly #records: Records;
  readonly #clock: () => number;
  readonly #verified = new Map<string, SshCertificate>();
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  constructor(ca: Ca, directory: Directory, records: Records, clock: () => number) {
    this.#ca = ca;
    this.#directory = directory;
    this.#records = records;
    this.#clock = clock;
  }

  async issue(gateway: ServiceName, caller: Caller, request: SessionCertificateRequest): Promise<{ readonly certificate: string }> {
    const now = this.#clock();
    const { shape, sessionMfa, claim } = this.#shape(gateway, request, now);
    const mfa = sessionMfa ? await this.#confirmed(request, now) : undefined;
    const serial = await this.#commit({
      claim,
      certificate: { ...shape, kind: 'user', subject: request.user },
      row: (given) =>
        auditRow(
          now,
          { actor: request.user, source: request.source_address },
          {
            event: 'session_certificate.issue',
            target: given.toString(),
            node: request.node,
            login: request.login,
            data: { gateway: caller.actor, host_key_signed: claim.hostKey !== null, ...(mfa === undefined ? {} : { mfa }) },
          },
        ),
    });
    return { certificate: formatPublicLine(await this.#ca.issueSsh('ssh-user', { ...shape, serial })) };
  }

  /** Waits for requests in progress. */
  async close(): Promise<void> {
    await this.#writing;
  }

  #shape(
    gateway: ServiceName,
    request: SessionCertificateRequest,
    now: number,
  ): { readonly shape: ReturnType<typeof sessionShape>; readonly sessionMfa: boolean; readonly claim: Claim } {
    const snapshot = this.#directory.current();
    const { certificate, blob, known } = this.#parse(request.user_certificate);
    const { identity, roles } = checkUserCertificate(certificate, snapshot, {
      now,
      sourceAddress: request.source_address,
      clusters: snapshot,
      ...(known ? { verify: () => true } : {}),
    });
    if (!known) this.#remember(request.user_certificate, certificate);
    if (identity.user !== request.user) throw new StenoError('CERT_WRONG_PRINCIPAL', `the certificate is that of ${identity.user}`);
    const claim = claimOf(gateway.name, request, certificate, blob);
    const { login } = request;
    if (!namesLogin(certificate.principals, login, request.node)) throw new StenoError('CERT_WRONG_PRINCIPAL', login);
    const own = this.#directory.node(request.node);
    const remote = own === undefined && identity.cluster === null ? remoteNode(snapshot.clusters, request.node) : undefined;
    const node = own ?? remote?.node;
    if (node === undefined) throw new StenoError('NODE_UNKNOWN', request.node);
    assertUnlocked(
      snapshot.locks,
      [
        ['login', login],
        ['node', node.name],
      ],
      now,
    );
    const decision = decide({ ...identity, roles }, node, login);
    if (!decision.allowed) throw new StenoError('ACCESS_DENIED', decision.reason);
    const session = {
      user: identity.user,
      login,
      node: remote === undefined ? node : { name: remote.inner },
      gateway: formatServiceName(gateway),
      decision,
      owner: node.owner_logins?.includes(login) === true,
    };
    const key = certifiableKey(request.public_key);
    const shape =
      remote === undefined
        ? sessionShape(session, key, now)
        : clusterShape({ ...session, identity, cluster: remote.cluster.name }, key, now);
    // Users this cluster does not know cannot confirm here, and another cluster's statement about second factors is not
    // trusted.
    if (decision.sessionMfa && identity.cluster !== null) throw new StenoError('CLUSTER_NO_MFA', identity.cluster);
    return { shape, sessionMfa: decision.sessionMfa, claim };
  }

  /** Consumes the user's second-factor approval for this session: each is valid for one certificate. */
  async #confirmed({ user, node, login, source_address: source, confirmation }: SessionCertificateRequest, now: number): Promise<string> {
    const mfa =
      confirmation === undefined
        ? undefined
        : await this.#records.actOn(async (tx) => ({
            result: await takeConfirmation(tx, { hash: hashOf(confirmation), user, node, login, source }, now),
            rows: [],
          }));
    if (mfa === undefined) throw new StenoError('SESSION_UNCONFIRMED', `${login} on ${node}`);
    return mfa;
  }

  #parse(text: string): { readonly certificate: SshCertificate; readonly blob: Uint8Array; readonly known: boolean } {
    const blob = decodeBase64(text);
    if (blob === undefined) throw new StenoError('CERT_GARBLED', 'it is not base64');
    const verified = this.#verified.get(text);
    return verified === undefined
      ? { certificate: parseCertificate(blob), blob, known: false }
      : { certificate: verified, blob, known: true };
  }

  /** Called after the CA's signature was verified. The oldest entry is dropped when the memory is full. */
  #remember(text: string, certificate: SshCertificate): void {
    if (this.#verified.size >= MAX_REMEMBERED) {
      const [oldest] = this.#verified.keys();
      if (oldest !== undefined) this.#verified.delete(oldest);
    }
    this.#verified.set(text, certificate);
  }

  #commit(item: Pick<Waiting, 'claim' | 'certificate' | 'row'>): Promise<bigint> {
    if (this.#waiting.length >= MAX_WAITING) throw new StenoError('TOO_MANY', 'session certificates');
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...item, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Wait one turn of the event loop: requests that arrived together are written together.
      await new Promise((resolve) => setImmediate(resolve));
      const batch = this.#waiting.splice(0, MAX_BATCH);
      try {
        const { refusals, serials } = await this.#records.actOn(async (tx) => {
          const refusals = await takeClaims(
            tx,
            batch.map(({ claim }) => claim),
            this.#clock(),
          );
          const good = batch.filter((_, i) => refusals[i] === null);
          const serials =
            good.length === 0
              ? []
              : await insertCertificates(
                  tx,
                  good.map(({ certificate }) => certificate),
                  'gateway',
                  this.#clock(),
                );
          return { result: { refusals, serials }, rows: good.map(({ row }, i) => row(serials[i]!)) };
        });
        let next = 0;
        batch.forEach(({ resolve, reject }, i) => {
          const refusal = refusals[i] ?? null;
          if (refusal === null) resolve(serials[next++]!);
          else reject(refusal);
        });
      } catch (cause) {
        const error = new StenoError('STORE_UNAVAILABLE', 'the state store of the authority', { cause });
        for (const { reject } of batch) reject(error);
      }
    }
    // In the same turn in which the queue was seen empty: a later request must start the next run.
    this.#writing = undefined;
  }
}
