/**
 * Signed requests, both sides (format: `schemas/request.ts`).
 *
 * The verifier decides in this order, and the first failure is the refusal: form, time, certificate (CA, validity, kind,
 * source address), roles and locks, signature over what was received, nonce. A nonce is remembered only once its
 * signature holds, so strangers cannot fill the memory; a full memory refuses, it does not forget. A restart forgets,
 * so requests signed before the verifier began are refused: their nonce may have been used with its predecessor.
 * Security: the body is covered by its hash and the target by its text; other headers are not. Tested in
 * `request-auth.test.ts`.
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
  /** Path with query, as it stood in the request line. */
  readonly target: string;
  /** The authorization header. */
  readonly authorization: string | undefined;
  /** As received, before parsing; empty when there is none. */
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
/** As the authority issues certificates (ca/certificates.ts). */
const BACKDATE_S = 60;

/** The value of the authorization header. `time`: ms since 1970. */
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
  /** Nonce to the moment from which the window alone refuses it; in order of arrival. */
  readonly #nonces = new Map<string, number>();

  /**
   * `trust` is asked for each request and throws when nothing is known yet. `claim` remembers nonces for all verifiers
   * that stand for one service, and says whether this one is the first to see it; left out where there is one only.
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

  /** Who sent the request; throws the refusal. A request passes once, over all verifiers that share their nonces. */
  async admit(request: ReceivedRequest): Promise<Caller> {
    const { nonce, until, caller } = this.#verify(request);
    if (this.#claim !== undefined && !(await this.#claim(nonce, until))) throw new StenoError('REQUEST_REPLAYED');
    return caller;
  }

  /** As `admit`, where there is one verifier only. */
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

  /** A caller of before by the roles of now. Throws LOCKED or ACCESS_DENIED when they would be refused; their certificate's time is theirs to watch. */
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
  /** Left out where the address is not known to the checker; a certificate bound to addresses is then refused. */
  readonly sourceAddress?: string;
  /** Set where users of trusted clusters count too: for sessions on nodes, and for nothing else. */
  readonly clusters?: ClusterTrust;
  /** Whether the CA's signature holds; a caller that has checked this blob before may know. */
  readonly verify?: (blob: Uint8Array, signature: Uint8Array, data: Uint8Array) => boolean;
}

/**
 * Whether a user certificate of Steno counts now, by CA, validity, source address, roles and locks on user and roles.
 * Throws the refusal. Possession of the key, login and node are for the caller to check.
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

/** A name that was used before: what was issued to the user of then is not theirs of now. */
function assertSameUser({ user, cluster }: UserIdentity, { validAfter }: SshCertificate, { names_since: names }: TrustSource): void {
  const since = cluster === null && names !== undefined && Object.hasOwn(names, user) ? names[user] : undefined;
  // Certificates begin a minute before they are issued.
  if (since !== undefined && Number(validAfter) + BACKDATE_S < Math.floor(since / 1000))
    throw new StenoError('ACCESS_DENIED', `the certificate is that of an earlier user of the name ${user}`);
}

/** How certificates of one CA are read: ours, or that of a trusted cluster. */
export interface Issuer {
  /** Blobs of the CA keys. */
  readonly trusted: readonly Uint8Array[];
  readonly criticalOptions: ReadonlySet<string>;
  /** Throws CERT_GARBLED, CERT_UNKNOWN_CA, or ACCESS_DENIED for a user of another cluster who has no role here. */
  identify(certificate: SshCertificate): UserIdentity;
}

/** The option of ordinary user certificates is understood, so that their holders hear the reason; `identify` refuses them. */
const clusterCriticalOptions: ReadonlySet<string> = new Set([OPTION_CLUSTER_ONLY, ...userCriticalOptions]);

/**
 * Who issued a certificate, by the CA key that it names; the signature is for `checkCertificate`. Of a trusted cluster
 * only certificates for our gateways count, so that its users come through their own, where their locks hold.
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
        throw new StenoError('CERT_UNKNOWN_CA', `a user of ${cluster.name} comes here through a gateway of ${cluster.name}`);
      const identity = importedIdentity(identified(certificate), cluster);
      if (identity === null) throw new StenoError('ACCESS_DENIED', `no role of a user of ${cluster.name} counts here`);
      return identity;
    },
  };
}

function identified(certificate: SshCertificate): UserIdentity {
  const identity = identityOf(certificate);
  // A session certificate, made for a node, is one of our CA too, but says nobody's roles.
  if (identity === null) throw new StenoError('CERT_GARBLED', 'it does not name a user of Steno');
  return identity;
}

/** Who somebody from another cluster is by now: trust or the map of roles may have changed. Throws what refuses them. */
export function identityNow(identity: UserIdentity, certificate: SshCertificate, trust: ClusterTrust): UserIdentity {
  if (identity.cluster === null) return identity;
  const issuer = issuerOf(certificate, trust);
  if (!issuer.trusted.some((ca) => equalBytes(ca, certificate.signatureKey)))
    throw new StenoError('CERT_UNKNOWN_CA', `the cluster ${identity.cluster} is no longer trusted`);
  return issuer.identify(certificate);
}

/** The roles of an identity that counts now, by roles, grants and locks; those that were granted come last. */
export function assertCounts(
  identity: Pick<UserIdentity, 'user' | 'roles' | 'requests' | 'mfa'>,
  trust: Omit<TrustSource, 'ssh_user_ca'>,
  now: number,
): readonly Role[] {
  const own = rolesNamed(identity.roles, trust.roles);
  // The same list for the same roles: the policy's index belongs to it.
  const roles = identity.requests.length === 0 ? own : [...own, ...rolesGranted(identity, trust, now)];
  assertUnlocked(trust.locks, lockTargets({ ...identity, roles: roles.map(({ name }) => name) }), now);
  return roles;
}

/** What the access requests of a certificate are worth now. One that is over or was taken back refuses the certificate. */
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

/** Lists by the names they were asked for with, for each list of known roles: the policy's index belongs to a list. */
const namedRoles = new WeakMap<
  readonly Role[],
  { readonly byName: ReadonlyMap<string, Role>; readonly lists: Map<string, readonly Role[]> }
>();
const MAX_LISTS = 10_000;

/** Every role of the names; a role that is gone refuses, since what it denied would otherwise be forgotten. */
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

/** The holder of an identity, as the policy asks. Throws ACCESS_DENIED for a role that is gone. */
export function subjectOf({ user, traits, roles }: Pick<UserIdentity, 'user' | 'traits' | 'roles'>, known: readonly Role[]): Subject {
  return { user, traits, roles: rolesNamed(roles, known) };
}

/** What a lock can name to put this user out, wherever they go. */
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

/** Throws LOCKED, with who or what is locked and why; the lock is its cause. */
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
