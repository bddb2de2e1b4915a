/**
 * The contents and lifetime of every SSH certificate that the authority issues.
 *
 * | certificate | CA        | principals                                   | life                    | shown to          |
 * | user        | ssh-user  | `-steno-login:LOGIN`, `-steno-any`, `-steno-none` | least `max_ttl`         | gateways          |
 * | session     | ssh-user  | `LOGIN@NODE`, and `LOGIN` for nodes that know no other | 5 min         | nodes, by gateway |
 * | cluster     | ssh-user  | `LOGIN` and `LOGIN@NODE`                     | 5 min                   | a trusted cluster's gateways |
 * | host        | ssh-host  | the service's names; of gateways `steno-gateway@CLUSTER` too | 24 h    | ssh clients       |
 * | recording   | recording | the gateway's name                           | 30 d                    | verifiers         |
 *
 * User certificates name logins in a form that cannot be an account name, so no OpenSSH server accepts them (identity.ts).
 * Pure functions; routes.ts decides who may request them. Tested in certificates.test.ts, with ssh-keygen as reader.
 */
import { StenoError } from '#schemas/base/errors.js';
import {
  EXTENSION_ADMINISTRATOR,
  EXTENSION_FORWARDING,
  EXTENSION_VIA,
  NODE_DOMAIN,
  OPTION_CLUSTER_ONLY,
  PRINCIPAL_NONE,
  formatServiceName,
  gatewayPrincipal,
  identityExtensions,
  isGatewayPrincipal,
  loginPrincipal,
  nodePrincipal,
} from '#schemas/base/identity.js';
import type { ServiceName, UserIdentity } from '#schemas/base/identity.js';
import { MAX_DESTINATIONS, destinationsIn, encodeForwarding, grantOf } from '#schemas/policy/forwarding.js';
import { loginsOf } from '#schemas/policy/node.js';
import type { Allowed } from '#schemas/policy/node.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import type { CertificateFields } from '#schemas/ssh/certificate.js';
import { parseAuthorizedLine, parsePublicKey } from '#schemas/ssh/public-key.js';
import { isPermittedKey } from '#runtime/ssh/algorithms.js';

/** Everything except the serial, which the store assigns, and the fields added by signing. */
export type CertificateShape = Omit<CertificateFields, 'nonce' | 'signatureKey' | 'serial'>;

export const SERVICE_TTL_MS = 24 * 3_600_000;
const HOST_TTL_S = 24 * 3600;
const RECORDING_TTL_S = 30 * 86_400;
const SESSION_TTL_S = 300;
/** Allowance for readers' clocks that are behind, in seconds. */
const BACKDATE_S = 60;
const MIN_RSA_BITS = 2048;
/** OpenSSH's limit (SSHKEY_CERT_MAX_PRINCIPALS). */
const MAX_PRINCIPALS = 256;

/**
 * The blob of a plain key that Steno certifies: Ed25519, ECDSA, RSA of 2048 bits or more, sk-*. Throws KEY_GARBLED.
 * `permitted`: restricts the types, as in FIPS mode.
 */
export function certifiableKey(line: string, permitted: (type: string) => boolean = isPermittedKey): Uint8Array {
  const { blob } = parseAuthorizedLine(line);
  const key = parsePublicKey(blob);
  if (!permitted(key.type)) throw new StenoError('KEY_GARBLED', 'in FIPS mode keys are ECDSA or RSA, this one is Ed25519');
  if (key.kind === 'rsa' && bits(key.modulus) < MIN_RSA_BITS) {
    throw new StenoError('KEY_GARBLED', `an RSA key needs ${MIN_RSA_BITS} bits, this one has ${bits(key.modulus)}`);
  }
  return blob;
}

/** The user and rights of a user certificate: the common result of every way of logging in. */
export interface UserGrant extends Pick<UserIdentity, 'user' | 'traits' | 'mfa' | 'requests'> {
  readonly roles: readonly Role[];
  /** The roles granted by requests. They are not named in the certificate: readers evaluate the requests themselves. */
  readonly granted: readonly Role[];
  /** Unix seconds; the certificate ends then, unless the roles end it earlier. */
  readonly notAfter?: number;
}

/** `only`: the logins that the certificate names, out of those that the roles allow; if omitted, all of them. */
export function userShape(grant: UserGrant, publicKey: Uint8Array, now: number, only?: readonly string[]): CertificateShape {
  const { user, roles } = grant;
  const all = [...roles, ...grant.granted];
  const seconds = Math.floor(now / 1000);
  const ttl = roles.length === 0 ? NaN : Math.min(...all.map((role) => role.max_ttl));
  if (!Number.isFinite(ttl)) throw new StenoError('ACCESS_DENIED', `the user ${user} has no role`);
  const validBefore = Math.min(seconds + ttl, grant.notAfter ?? Infinity);
  if (validBefore <= seconds) throw new StenoError('ACCESS_DENIED', 'the granted access has ended');
  const logins = (only ?? loginsOf({ ...grant, roles: all })).map(loginPrincipal);
  if (logins.length > MAX_PRINCIPALS)
    throw new StenoError('ACCESS_DENIED', `the roles of ${user} name ${logins.length} logins, and a certificate holds ${MAX_PRINCIPALS}`);
  // OpenSSH treats a certificate without principals as valid for all of them.
  const principals = logins.length === 0 ? [PRINCIPAL_NONE] : logins;
  return {
    publicKey,
    kind: 'user',
    keyId: `user=${user}`,
    principals,
    validAfter: BigInt(seconds - BACKDATE_S),
    validBefore: BigInt(validBefore),
    criticalOptions: new Map(),
    extensions: new Map([
      ...identityExtensions({ ...grant, roles: roles.map((role) => role.name) }),
      ...permissions(
        all.some((role) => grantOf(role.port_forwarding) !== null),
        all.some((role) => role.agent_forwarding),
      ),
    ]),
  };
}

export function sessionShape(
  session: {
    readonly user: string;
    readonly login: string;
    readonly node: Pick<NodeRecord, 'name' | 'node_principals'>;
    readonly gateway: string;
    readonly decision: Allowed;
    /** The login owns this Steno, and the user may use it. */ readonly owner?: boolean;
  },
  publicKey: Uint8Array,
  now: number,
): CertificateShape {
  const seconds = Math.floor(now / 1000);
  const { forwarding, portForwarding } = session.decision;
  const destinations = destinationsIn(forwarding);
  if (destinations > MAX_DESTINATIONS)
    throw new StenoError(
      'ACCESS_DENIED',
      `the roles of ${session.user} name ${destinations} destinations of forwardings, and a certificate holds ${MAX_DESTINATIONS}`,
    );
  return {
    publicKey,
    kind: 'user',
    keyId: `user=${session.user} session via ${session.gateway}`,
    // A server that only trusts the CA compares the bare login, so it also accepts certificates issued for other such
    // servers.
    principals: [...(session.node.node_principals === true ? [] : [session.login]), nodePrincipal(session.login, session.node.name)],
    validAfter: BigInt(seconds - BACKDATE_S),
    validBefore: BigInt(seconds + SESSION_TTL_S),
    criticalOptions: new Map(),
    extensions: new Map([
      [EXTENSION_VIA, session.user],
      ...(session.owner === true ? ([[EXTENSION_ADMINISTRATOR, '']] as const) : []),
      ...(portForwarding ? ([[EXTENSION_FORWARDING, encodeForwarding(forwarding)]] as const) : []),
      ...permissions(portForwarding, session.decision.agentForwarding),
    ]),
  };
}

/**
 * The certificate a gateway presents to gateways of a trusted cluster: it states the user's identity here, for the other
 * side to map. `node` is the name used there. A critical option makes it valid nowhere else.
 */
export function clusterShape(
  session: Parameters<typeof sessionShape>[0] & { readonly identity: UserIdentity; readonly cluster: string },
  publicKey: Uint8Array,
  now: number,
): CertificateShape {
  const shape = sessionShape(session, publicKey, now);
  return {
    ...shape,
    keyId: `user=${session.user} to cluster ${session.cluster} via ${session.gateway}`,
    criticalOptions: new Map([[OPTION_CLUSTER_ONLY, session.cluster]]),
    extensions: new Map([...shape.extensions, ...identityExtensions({ ...session.identity, traits: {}, mfa: null, requests: [] })]),
  };
}

/** `ttl`: seconds; not needed for services, which renew by themselves. */
export function hostShape(
  name: string,
  principals: readonly string[],
  publicKey: Uint8Array,
  now: number,
  ttl = HOST_TTL_S,
): CertificateShape {
  const seconds = Math.floor(now / 1000);
  return {
    publicKey,
    kind: 'host',
    keyId: `host ${name}`,
    principals,
    validAfter: BigInt(seconds - BACKDATE_S),
    validBefore: BigInt(seconds + ttl),
    criticalOptions: new Map(),
    extensions: new Map(),
  };
}

/**
 * `since`: when this key of the gateway was first certified, in ms. A renewed certificate covers checkpoints signed before
 * it that wait in the spool, but reaches back at most one lifetime, so that a stolen key does not reach far into the past.
 */
export function recordingShape(gateway: string, publicKey: Uint8Array, now: number, since = now): CertificateShape {
  const seconds = Math.floor(now / 1000);
  const from = Math.max(Math.floor(since / 1000), seconds - RECORDING_TTL_S);
  return {
    publicKey,
    kind: 'user',
    keyId: `recording ${gateway}`,
    principals: [gateway],
    validAfter: BigInt(from - BACKDATE_S),
    validBefore: BigInt(seconds + RECORDING_TTL_S),
    criticalOptions: new Map(),
    // No extensions: even an sshd that trusts the wrong CA gives nobody a terminal.
    extensions: new Map(),
  };
}

/**
 * Principals of a gateway's host certificate: the names clients dial, and the marker. The service name is omitted: nobody
 * dials it, and a node may have the same name.
 */
export function gatewayPrincipals(cluster: string, dialled: readonly string[] = []): readonly string[] {
  const names = dialled.filter((name) => !isGatewayPrincipal(name)).map((name) => name.toLowerCase());
  return [...new Set([...gatewayLoopbackNames, ...names]), gatewayPrincipal(cluster)];
}

/** Names by which clients may dial a node or service. */
export function hostPrincipals(service: Pick<ServiceName, 'name'>, more: readonly string[] = []): readonly string[] {
  return [...new Set([service.name, `${service.name}${NODE_DOMAIN}`, ...more.map((name) => name.toLowerCase())])];
}

const gatewayLoopbackNames = ['localhost', '127.0.0.1', '::1'] as const;

/** Key id of a service's host certificate: binds its renewal to the service it was issued to. */
export function hostKeyId(service: ServiceName): string {
  return `host ${formatServiceName(service)}`;
}

function permissions(portForwarding: boolean, agentForwarding: boolean): readonly (readonly [string, string])[] {
  return [
    ['permit-pty', ''],
    ['permit-user-rc', ''],
    ...(portForwarding ? ([['permit-port-forwarding', '']] as const) : []),
    ...(agentForwarding ? ([['permit-agent-forwarding', '']] as const) : []),
  ];
}

function bits(modulus: Uint8Array): number {
  const first = modulus.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (modulus.length - first) * 8 - Math.clz32(modulus[first]!) + 24;
}
