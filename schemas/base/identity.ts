/**
 * Steno's extensions to OpenSSH certificates, and the names by which stages address each other.
 *
 * User certificates carry Steno's facts in extensions, which OpenSSH servers ignore (PROTOCOL.certkeys: unknown extensions
 * are ignored, unknown critical options cause refusal). Tested in identity.test.ts.
 */
import { z } from 'zod';

export const EXTENSION_ROLES = 'roles@steno';
export const EXTENSION_USER = 'user@steno';
/**
 * Traits of the user from single sign-on or an administrator, for templates in roles: JSON of `Traits`. Omitted if empty.
 */
export const EXTENSION_TRAITS = 'traits@steno';
/** Id of the device that confirmed the login as a second factor. Omitted if none did. */
export const EXTENSION_MFA = 'mfa@steno';
/** Ids of the approved access requests whose grants the certificate carries, comma-separated. Omitted if none. */
export const EXTENSION_REQUESTS = 'requests@steno';
/** Set on the certificates that a gateway presents to nodes: names the session's user for the node's own log. */
export const EXTENSION_VIA = 'via@steno';
/**
 * Forwarding rules of the session's roles, on the same certificates: JSON of `Forwarding` (policy/forwarding.ts). Omitted if
 * there are none.
 */
export const EXTENSION_FORWARDING = 'forwarding@steno';
/**
 * On a certificate for an account that owns this Steno: its user administers everything. Node services of that machine
 * require it.
 */
export const EXTENSION_ADMINISTRATOR = 'administrator@steno';
/** Identification in a node service's SSH version that applies `EXTENSION_FORWARDING` to resolved addresses. */
export const CHECKING_NODE_IDENT = 'Steno_2';
/**
 * Critical option of user certificates until logins got the prefix below (docs/decisions/0038), since libraries refuse to
 * load certificates with unknown options. Still accepted.
 */
export const OPTION_GATEWAY_ONLY = 'gateway-only@steno';
/**
 * Critical option of the certificates that gateways present to gateways of a trusted cluster; its value names that cluster,
 * the only place where it is valid. No other server knows the option, so none accepts it.
 */
export const OPTION_CLUSTER_ONLY = 'cluster-only@steno';
/** Options that Steno's servers enforce themselves, for `checkCertificate`. */
export const userCriticalOptions: ReadonlySet<string> = new Set([OPTION_GATEWAY_ONLY]);
/**
 * Prefix of each login in user certificates, so that none is an account name: a node that trusts the user CA for the
 * gateway's sake does not admit a user who bypasses the gateway. Session certificates, which gateways present to nodes,
 * contain the bare login. Account names do not begin with `-`, and sshd interprets text after a `:` differently.
 */
const LOGIN_PREFIX = '-steno-login:';
/**
 * Pseudo principal of a user whose roles allow the login `*`, which OpenSSH cannot express. It begins with `-` and so is
 * no login anywhere; the gateway reads roles, not principals, to decide.
 */
export const PRINCIPAL_ANY = '-steno-any';
/** Pseudo principal of a user whose roles allow no login: they may still view, review, or request access. */
export const PRINCIPAL_NONE = '-steno-none';
/** The principal for a login in a user certificate, `*` for any. */
export function loginPrincipal(login: string): string {
  return login === '*' ? PRINCIPAL_ANY : `${LOGIN_PREFIX}${login}`;
}

/**
 * Whether a user certificate, or one presented by a gateway of another cluster, names the login; `*` does not include
 * `root`. The latter also names nodes (`nodePrincipal`) and is then valid for those alone; `node` is omitted if none is
 * required yet.
 */
export function namesLogin(principals: readonly string[], login: string, node?: string): boolean {
  // Otherwise entries of certificates for other purposes would pass as logins.
  if (login.startsWith('-') || login.includes('@')) return false;
  if (node !== undefined && principals.some((name) => name.includes('@')) && !principals.includes(nodePrincipal(login, node))) return false;
  return (
    principals.includes(loginPrincipal(login)) || principals.includes(login) || (login !== 'root' && principals.includes(PRINCIPAL_ANY))
  );
}

const GATEWAY_MARK = 'steno-gateway@';
/**
 * Principal in the host certificates of gateways and in no others, beside their DNS names and addresses. Clients of Steno
 * ask a gateway for it (`HostKeyAlias`). Node names hold no `@`, so no node can have it (docs/decisions/0049). Lower case,
 * because `ssh` compares host names in lower case.
 */
export function gatewayPrincipal(cluster: string): string {
  return `${GATEWAY_MARK}${cluster}`;
}
export function isGatewayPrincipal(principal: string): boolean {
  return principal.startsWith(GATEWAY_MARK);
}

/** How a session certificate names a login on one node and on no other (docs/decisions/0050). Logins hold no `@`. */
export function nodePrincipal(login: string, node: string): string {
  return `${login}@${node}`;
}

/** OpenSSH extensions that Steno's certificates carry if the role allows them. */
export const OPENSSH_EXTENSIONS = [
  'permit-X11-forwarding',
  'permit-agent-forwarding',
  'permit-port-forwarding',
  'permit-pty',
  'permit-user-rc',
] as const;

/** Trait to values: at most 64 traits of 64 values of 255 characters. */
export type Traits = Readonly<Record<string, readonly string[]>>;

export interface UserIdentity {
  readonly user: string;
  readonly roles: readonly string[];
  readonly traits: Traits;
  /** The device of the second factor, or null. */
  readonly mfa: string | null;
  readonly requests: readonly string[];
  /** The trusted cluster that this user belongs to; null for our own users. */
  readonly cluster: string | null;
  readonly serial: string;
  readonly keyId: string;
  /** Unix seconds. */
  readonly validBefore: number;
}

export const serviceKinds = ['gateway', 'ingest', 'viewer', 'analyzer', 'agent', 'authority'] as const;
export type ServiceKind = (typeof serviceKinds)[number];
/** A stage, as named in its x509 certificate: `CN=<kind>/<name>`. */
export interface ServiceName {
  readonly kind: ServiceKind;
  readonly name: string;
}

const namePattern = /^[a-z0-9][a-z0-9_.-]{0,62}$/;
const loginPattern = /^[a-z_][a-z0-9_.-]{0,31}$/;
/** Names of users, roles, nodes and gateways. */
export function isName(value: string): boolean {
  return namePattern.test(value) && !value.includes('..');
}
export function isLogin(value: string): boolean {
  return loginPattern.test(value);
}

/** The identity in a user certificate of Steno, or null when the extensions are missing or malformed. */
export function identityOf(certificate: {
  readonly serial: bigint;
  readonly keyId: string;
  readonly validBefore: bigint;
  readonly extensions: ReadonlyMap<string, string>;
}): UserIdentity | null {
  const user = certificate.extensions.get(EXTENSION_USER);
  const roles = certificate.extensions.get(EXTENSION_ROLES)?.split(',') ?? [];
  const requests = certificate.extensions.get(EXTENSION_REQUESTS)?.split(',') ?? [];
  const mfa = certificate.extensions.get(EXTENSION_MFA) ?? null;
  const traits = parseTraits(certificate.extensions.get(EXTENSION_TRAITS) ?? '{}');
  if (user === undefined || !isName(user) || !roles.every(isName) || roles.length > 256) return null;
  if (!requests.every(isName) || requests.length > 64 || (mfa !== null && !isName(mfa)) || traits === null) return null;
  return {
    user,
    roles,
    traits,
    mfa,
    requests,
    cluster: null,
    serial: certificate.serial.toString(),
    keyId: certificate.keyId,
    validBefore: Number(certificate.validBefore),
  };
}

/** Refuses values beyond the limits of `Traits`. */
export const traitsSchema = z
  .record(z.string().regex(/^[a-zA-Z][a-zA-Z0-9_.:/-]{0,62}$/), z.array(z.string().max(255)).max(64))
  .refine((traits) => Object.keys(traits).length <= 64);

/** Null unless the text is JSON of traits within their bounds. */
export function parseTraits(text: string): Traits | null {
  try {
    const parsed = traitsSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** The extensions that identify the user; parsed by `identityOf`. */
export function identityExtensions(
  identity: Pick<UserIdentity, 'user' | 'roles' | 'traits' | 'mfa' | 'requests'>,
): ReadonlyMap<string, string> {
  return new Map([
    [EXTENSION_USER, identity.user],
    [EXTENSION_ROLES, identity.roles.join(',')],
    ...(Object.keys(identity.traits).length === 0 ? [] : [[EXTENSION_TRAITS, JSON.stringify(identity.traits)] as const]),
    ...(identity.mfa === null ? [] : [[EXTENSION_MFA, identity.mfa] as const]),
    ...(identity.requests.length === 0 ? [] : [[EXTENSION_REQUESTS, identity.requests.join(',')] as const]),
  ]);
}

export type Target = { readonly login: string; readonly node: string };

/**
 * Splits `login@node` at the last `@`: the user name of a direct connection to the gateway. Null if it is not of this form.
 */
export function parseTarget(userName: string): Target | null {
  const at = userName.lastIndexOf('@');
  if (at <= 0) return null;
  const target = { login: userName.slice(0, at), node: stripDomain(userName.slice(at + 1)) };
  return isLogin(target.login) && isName(target.node) ? target : null;
}

/** Nodes may be written with Steno's pseudo domain, so that one `Host *.steno` block covers all of them. */
export const NODE_DOMAIN = '.steno';
export function stripDomain(host: string): string {
  const lower = host.toLowerCase();
  return lower.endsWith(NODE_DOMAIN) ? lower.slice(0, -NODE_DOMAIN.length) : lower;
}

export function formatServiceName({ kind, name }: ServiceName): string {
  return `${kind}/${name}`;
}

/** Null unless the text is exactly a known kind, a slash and a name. */
export function parseServiceName(text: string): ServiceName | null {
  const slash = text.indexOf('/');
  const kind = serviceKinds.find((known) => known === text.slice(0, slash));
  const name = text.slice(slash + 1);
  return kind !== undefined && isName(name) ? { kind, name } : null;
}
