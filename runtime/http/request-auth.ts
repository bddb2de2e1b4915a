/**
 * Signed requests, both sides (format: `schemas/request.ts`).
 *
 * The verifier checks in this order, and the first failure is the refusal: form, time, certificate (CA, validity, kind,
 * source address), roles and locks, signature over the received request, nonce. A nonce is remembered only after its
 * signature was verified, so strangers cannot fill the memory; when the memory is full, requests are refused rather than
 * nonces forgotten. A restart does forget nonces, so requests signed before the verifier started are refused: their nonce
 * may have been used with its predecessor. Security: the signature covers the hash of the body and the text of the target,
 * but no other headers. Tested in `request-auth.test.ts`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { rolesOfGrant } from '#schemas/documents/access-request.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import { importedIdentity } from '#schemas/documents/cluster.js';
import { OPTION_CLUSTER_ONLY, identityOf, userCriticalOptions } from '#schemas/base/identity.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { REQUEST_NAMESPACE, REQUEST_WINDOW_MS, formatAuthorization, parseAuthorization, requestText } from '#schemas/request.js';
import type { Subject } from '#schemas/policy/subject.js';
import type { Role } from '#schemas/policy/role.js';
import { checkCertificate } from '#schemas/ssh/admission.js';
import { decodeBase64, encodeBase64 } from '#schemas/ssh/base64.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { SshCertificate } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { sshsigSignedData } from '#schemas/ssh/signature.js';
import { equalBytes } from '#schemas/ssh/wire.js';
import { verify } from '../ssh/keys.js';
import type { SshSigner } from '../ssh/keys.js';

export interface ReceivedRequest {
  readonly method: string;
  /** Path with query, exactly as in the request line. */
  readonly target: string;
  /** The authorization header. */
  readonly authorization: string | undefined;
  /** As received, before parsing; empty if there is none. */
  readonly body: Uint8Array;
  readonly sourceAddress: string;
}

export interface Caller {
  readonly identity: UserIdentity;
  readonly roles: readonly Role[];
}

export type TrustSource = Pick<Snapshot, 'ssh_user_ca' | 'roles' | 'locks' | 'grants'> &
  Partial<Pick<Snapshot, 'void_grants' | 'names_since'>>;
export type ClusterTrust = Pick<Snapshot, 'ssh_user_ca' | 'cluster' | 'clusters'>;

const noBody = new Uint8Array(0);
/** How far the authority backdates certificates (ca/certificates.ts), in seconds. */
const BACKDATE_S = 60;

/** Returns the value of the authorization header. `time`: ms since 1970. */
export function signRequest(
  key: SshSigner,
  certificate: Uint8Array,
  method: string,
  target: string,
  body: Uint8Array = noBody,
  time: number = Date.now(),
): string {
  const nonce = randomBytes(16).toString('base64url');
  const text = requestText(method, target, sha256Hex(body), time, nonce);
  const signature = encodeBase64(key.sign(signedData(text)));
  return formatAuthorization({ certificate: encodeBase64(certificate), time, nonce, signature });
}

export class RequestVerifier {
  readonly #trust: () => TrustSource;
  readonly #clock: () => number;
  readonly #startedAt: number;
  readonly #maxNonces: number;
  readonly #claim: ((nonce: string, until: number) => Promise<boolean>) | undefined;
  /** Each nonce with the time after which its timestamp alone gets it refused; in order of arrival. */
  readonly #nonces = new Map<string, number>();

  /**
   * `trust` is called for each request and throws while no snapshot is available. `claim` records nonces for all verifiers
   * of one service, and tells whether this one is the first to see it; omitted if there is only one verifier.
   */
  constructor(
    trust: () => TrustSource,
    {
      clock,
      maxNonces = 100_000,
      claim,
    }: {
      readonly clock: () => number;
      readonly maxNonces?: number;
      readonly claim?: ((nonce: string, until: number) => Promise<boolean>) | undefined;
    },
  ) {
    this.#claim = claim;
    this.#trust = trust;
    this.#clock = clock;
    this.#startedAt = clock();
    this.#maxNonces = maxNonces;
  }

  /**
   * Authenticates the sender of a request, or throws the refusal. Each request is accepted once among all verifiers that
   * share their nonces.
   */
  async admit(request: ReceivedRequest): Promise<Caller> {
    const { nonce, until, caller } = this.#verify(request);
    if (this.#claim !== undefined && !(await this.#claim(nonce, until))) throw new StenoError('REQUEST_REPLAYED');
    return caller;
  }

  /** Like `admit`, for a single verifier. */
  verify(request: ReceivedRequest): Caller {
    return this.#verify(request).caller;
  }

  #verify(request: ReceivedRequest): { readonly nonce: string; readonly until: number; readonly caller: Caller } {
    const signed = parseAuthorization(request.authorization ?? '');
    if (signed === null) throw new StenoError('NOT_SIGNED_IN');
    const now = this.#clock();
    if (Math.abs(now - signed.time) > REQUEST_WINDOW_MS || signed.time < this.#startedAt)
      throw new StenoError('REQUEST_REPLAYED', 'its time');
    const blob = decodeBase64(signed.certificate);
    const signature = decodeBase64(signed.signature);
    if (blob === undefined || signature === undefined) throw new StenoError('CERT_GARBLED');
    const caller = checkUserCertificate(parseCertificate(blob), this.#trust(), { now, sourceAddress: request.sourceAddress });
    const text = requestText(request.method, request.target, sha256Hex(request.body), signed.time, signed.nonce);
    if (!verify(caller.certificate.publicKey, signature, signedData(text))) throw new StenoError('CERT_BAD_SIGNATURE');
    const [nonce, until] = [`${caller.identity.serial}:${signed.nonce}`, signed.time + REQUEST_WINDOW_MS];
    this.#use(nonce, until, now);
    return { nonce, until, caller: { identity: caller.identity, roles: caller.roles } };
  }

  /**
   * Re-evaluates an earlier caller under the current roles. Throws LOCKED or ACCESS_DENIED if the caller would now be
   * refused. The caller of this function checks the certificate's expiry itself.
   */
  recheck(identity: UserIdentity): Caller {
    const trust = this.#trust();
    assertCounts(identity, trust, this.#clock());
    return { identity, roles: rolesNamed(identity.roles, trust.roles) };
  }

  #use(nonce: string, until: number, now: number): void {
    if (this.#nonces.has(nonce)) throw new StenoError('REQUEST_REPLAYED');
    if (this.#nonces.size >= this.#maxNonces) {
      for (const [old, end] of this.#nonces) if (end < now) this.#nonces.delete(old);
      if (this.#nonces.size >= this.#maxNonces) throw new StenoError('TOO_MANY', 'signed requests');
    }
    this.#nonces.set(nonce, until);
  }
}

export interface CertificateContext {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Omitted if the checker does not know the address; certificates bound to addresses are then refused. */
  readonly sourceAddress?: string;
  /** Set where users of trusted clusters are accepted too: for sessions on nodes, and for nothing else. */
  readonly clusters?: ClusterTrust;
  /** Verifies the CA's signature; a caller that has checked this blob before may supply its own. */
  readonly verify?: (blob: Uint8Array, signature: Uint8Array, data: Uint8Array) => boolean;
}

/**
 * Whether a Steno user certificate is valid now: CA, validity, source address, roles, and locks on user and roles. Throws
 * the refusal. The caller checks possession of the key, login and node.
 */
export function checkUserCertificate(
  certificate: SshCertificate,
  trust: TrustSource,
  context: CertificateContext,
): Caller & { readonly certificate: SshCertificate } {
  const issuer = issuerOf(certificate, context.clusters ?? { ssh_user_ca: trust.ssh_user_ca, cluster: '', clusters: [] });
  const admission = checkCertificate(certificate, {
    kind: 'user',
    now: Math.floor(context.now / 1000),
    trusted: issuer.trusted,
    ...(context.sourceAddress === undefined ? {} : { sourceAddress: context.sourceAddress }),
    verify: context.verify ?? verify,
    knownCriticalOptions: issuer.criticalOptions,
  });
  if (!admission.ok) throw new StenoError(admission.code, admission.detail);
  const identity = issuer.identify(certificate);
  assertSameUser(identity, certificate, trust);
  return { certificate, identity, roles: assertCounts(identity, trust, context.now) };
}

/** The name may have belonged to another user before: certificates issued to that user are not valid for this one. */
function assertSameUser({ user, cluster }: UserIdentity, { validAfter }: SshCertificate, { names_since: names }: TrustSource): void {
  const since = cluster === null && names !== undefined && Object.hasOwn(names, user) ? names[user] : undefined;
  // Certificates are valid from a minute before they are issued.
  if (since !== undefined && Number(validAfter) + BACKDATE_S < Math.floor(since / 1000))
    throw new StenoError('ACCESS_DENIED', `the certificate was issued to an earlier user named ${user}`);
}

/** How certificates of one CA are interpreted: our own CA, or that of a trusted cluster. */
export interface Issuer {
  /** Blobs of the CA keys. */
  readonly trusted: readonly Uint8Array[];
  readonly criticalOptions: ReadonlySet<string>;
  /** Throws CERT_GARBLED, CERT_UNKNOWN_CA, or ACCESS_DENIED for a user of another cluster who has no role here. */
  identify(certificate: SshCertificate): UserIdentity;
}

/**
 * Options of ordinary user certificates are listed too, so that their holders get the real reason: `identify` refuses them.
 */
const clusterCriticalOptions: ReadonlySet<string> = new Set([OPTION_CLUSTER_ONLY, ...userCriticalOptions]);

/**
 * Finds the issuer of a certificate by the CA key it names; `checkCertificate` verifies the signature. From a trusted
 * cluster, only certificates made for our gateways are accepted, so that its users come through their own gateways, where
 * their locks apply.
 */
export function issuerOf({ signatureKey }: SshCertificate, { ssh_user_ca, cluster: own, clusters }: ClusterTrust): Issuer {
  const blobs = (lines: readonly string[]): Uint8Array[] => lines.map((line) => parseAuthorizedLine(line).blob);
  const cluster = clusters.find(
    (known) => Object.keys(known.role_map).length > 0 && blobs(known.ssh_user_ca).some((ca) => equalBytes(ca, signatureKey)),
  );
  if (cluster === undefined) return { trusted: blobs(ssh_user_ca), criticalOptions: userCriticalOptions, identify: identified };
  return {
    trusted: blobs(cluster.ssh_user_ca),
    criticalOptions: clusterCriticalOptions,
    identify: (certificate) => {
      if (certificate.criticalOptions.get(OPTION_CLUSTER_ONLY) !== own)
        throw new StenoError('CERT_UNKNOWN_CA', `users of ${cluster.name} must connect through a gateway of ${cluster.name}`);
      const identity = importedIdentity(identified(certificate), cluster);
      if (identity === null) throw new StenoError('ACCESS_DENIED', `no role of users of ${cluster.name} is mapped here`);
      return identity;
    },
  };
}

function identified(certificate: SshCertificate): UserIdentity {
  const identity = identityOf(certificate);
  // Our CA also issues session certificates, which are for nodes and carry no roles.
  if (identity === null) throw new StenoError('CERT_GARBLED', 'it does not name a Steno user');
  return identity;
}

/** Current identity of a user from another cluster: the trust or the role map may have changed. Throws the refusal. */
export function identityNow(identity: UserIdentity, certificate: SshCertificate, trust: ClusterTrust): UserIdentity {
  if (identity.cluster === null) return identity;
  const issuer = issuerOf(certificate, trust);
  if (!issuer.trusted.some((ca) => equalBytes(ca, certificate.signatureKey)))
    throw new StenoError('CERT_UNKNOWN_CA', `the cluster ${identity.cluster} is no longer trusted`);
  return issuer.identify(certificate);
}

/** The roles of an identity that is valid now, given roles, grants and locks; granted roles come last. */
export function assertCounts(
  identity: Pick<UserIdentity, 'user' | 'roles' | 'requests' | 'mfa'>,
  trust: Omit<TrustSource, 'ssh_user_ca'>,
  now: number,
): readonly Role[] {
  const own = rolesNamed(identity.roles, trust.roles);
  // Return the identical array for identical roles: the policy caches its index per array.
  const roles = identity.requests.length === 0 ? own : [...own, ...rolesGranted(identity, trust, now)];
  assertUnlocked(trust.locks, lockTargets({ ...identity, roles: roles.map(({ name }) => name) }), now);
  return roles;
}

/**
 * The roles that a certificate's access requests grant now. A request that has ended or was withdrawn invalidates the
 * certificate.
 */
function rolesGranted(
  { user, requests }: Pick<UserIdentity, 'user' | 'requests'>,
  { roles, grants, void_grants: voided = [] }: Pick<TrustSource, 'roles' | 'grants' | 'void_grants'>,
  now: number,
): readonly Role[] {
  return requests.flatMap((id) => {
    const grant = grants.find((known) => known.id === id && known.user === user && known.ends_at > now);
    if (grant === undefined) {
      const changed = voided.find((known) => known.id === id && known.user === user)?.changed;
      throw changed === undefined
        ? new StenoError('REQUEST_OVER', id)
        : new StenoError('REQUEST_STALE', `${id}: role ${changed.join(', ')}`);
    }
    const granted = rolesOfGrant(grant, roles);
    if (granted === undefined) throw new StenoError('ACCESS_DENIED', `a role that the access request ${id} granted no longer exists`);
    return granted;
  });
}

/** Role arrays by the names requested, per array of known roles: the policy caches its index per array. */
const namedRoles = new WeakMap<
  readonly Role[],
  { readonly byName: ReadonlyMap<string, Role>; readonly lists: Map<string, readonly Role[]> }
>();
const MAX_LISTS = 10_000;

/** Every named role. A role that no longer exists is a refusal, since ignoring it would also ignore its denials. */
export function rolesNamed(names: readonly string[], known: readonly Role[]): readonly Role[] {
  const { byName, lists } = namedRoles.get(known) ?? {
    byName: new Map(known.map((role) => [role.name, role])),
    lists: new Map<string, readonly Role[]>(),
  };
  namedRoles.set(known, { byName, lists });
  const key = names.join(',');
  const list =
    lists.get(key) ??
    names.map((name) => {
      const role = byName.get(name);
      if (role === undefined) throw new StenoError('ACCESS_DENIED', `the role ${name} no longer exists`);
      return role;
    });
  if (lists.size >= MAX_LISTS) lists.clear();
  lists.set(key, list);
  return list;
}

/** The identity as a subject of the policy. Throws ACCESS_DENIED for a role that no longer exists. */
export function subjectOf({ user, traits, roles }: Pick<UserIdentity, 'user' | 'traits' | 'roles'>, known: readonly Role[]): Subject {
  return { user, traits, roles: rolesNamed(roles, known) };
}

/** Everything a lock can name that blocks this user everywhere. */
export function lockTargets({
  user,
  roles,
  requests,
  mfa,
}: Pick<UserIdentity, 'user' | 'roles' | 'requests' | 'mfa'>): readonly (readonly [Lock['target_kind'], string])[] {
  return [
    ['user', user],
    ...roles.map((role) => ['role', role] as const),
    ...requests.map((request) => ['request', request] as const),
    ...(mfa === null ? [] : [['mfa-device', mfa] as const]),
  ];
}

/** The first lock in force on any of the targets, or null. */
export function lockOn(locks: readonly Lock[], targets: readonly (readonly [Lock['target_kind'], string])[], now: number): Lock | null {
  const inForce = (lock: Lock): boolean => lock.expires_at === null || lock.expires_at > now;
  return (
    locks.find((lock) => inForce(lock) && targets.some(([kind, target]) => lock.target_kind === kind && lock.target === target)) ?? null
  );
}

/** Throws LOCKED, stating the target and the reason; the lock is its `cause`. */
export function assertUnlocked(locks: readonly Lock[], targets: readonly (readonly [Lock['target_kind'], string])[], now: number): void {
  const lock = lockOn(locks, targets, now);
  if (lock === null) return;
  const until = lock.expires_at === null ? '' : ` (until ${new Date(lock.expires_at).toISOString().slice(0, 16).replace('T', ' ')} UTC)`;
  throw new StenoError('LOCKED', `on ${lock.target_kind} ${lock.target}${until}${lock.reason === '' ? '' : `: ${lock.reason}`}`, {
    cause: lock,
  });
}

function signedData(text: string): Uint8Array {
  return sshsigSignedData(REQUEST_NAMESPACE, 'sha512', createHash('sha512').update(text).digest());
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
