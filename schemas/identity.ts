/**
 * What Steno writes into certificates beside what OpenSSH knows, and how stages address each other.
 *
 * User certificates carry Steno's facts in extensions, which OpenSSH servers ignore (PROTOCOL.certkeys: unknown
 * extensions are ignored, unknown critical options refuse). Tested in identity.test.ts.
 */
export const EXTENSION_ROLES = 'roles@steno';
export const EXTENSION_USER = 'user@steno';
/** Set on the certificates that a gateway shows to nodes: names the session's user for the node's own log. */
export const EXTENSION_VIA = 'via@steno';
/**
 * Critical option of every user certificate, as a mere flag: only Steno's own servers may accept it. OpenSSH servers
 * refuse options that they do not know (PROTOCOL.certkeys), so a node that trusts the user CA for the gateway's sake
 * does not let a user past the gateway, unrecorded. Session certificates, which gateways show to nodes, lack it.
 */
export const OPTION_GATEWAY_ONLY = 'gateway-only@steno';
/** What a server of Steno passes to `checkCertificate` as options that it enforces itself. */
export const userCriticalOptions: ReadonlySet<string> = new Set([OPTION_GATEWAY_ONLY]);
/**
 * Pseudo principal of a user whose roles allow the login `*`, which OpenSSH cannot express. It begins with `-` and so is
 * no login anywhere; the gateway reads roles, not principals, to decide.
 */
export const PRINCIPAL_ANY = '-steno-any';
/** OpenSSH extensions that a certificate of Steno carries where the role allows. */
export const OPENSSH_EXTENSIONS = ['permit-X11-forwarding', 'permit-agent-forwarding', 'permit-port-forwarding', 'permit-pty', 'permit-user-rc'] as const;

export interface UserIdentity {
  readonly user: string;
  readonly roles: readonly string[];
  readonly serial: string;
  readonly keyId: string;
  /** Unix seconds. */
  readonly validBefore: number;
}

export const serviceKinds = ['gateway', 'ingest', 'viewer', 'agent', 'authority'] as const;
export type ServiceKind = (typeof serviceKinds)[number];
/** A stage, as the subject of its x509 certificate says: `CN=<kind>/<name>`. */
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
  readonly serial: bigint; readonly keyId: string; readonly validBefore: bigint; readonly extensions: ReadonlyMap<string, string>;
}): UserIdentity | null {
  const user = certificate.extensions.get(EXTENSION_USER);
  const roles = certificate.extensions.get(EXTENSION_ROLES)?.split(',') ?? [];
  if (user === undefined || !isName(user) || !roles.every(isName) || roles.length > 256) return null;
  return { user, roles, serial: certificate.serial.toString(), keyId: certificate.keyId, validBefore: Number(certificate.validBefore) };
}

export type Target = { readonly login: string; readonly node: string };

/** Splits `login@node` at the last `@`: the user name of a direct connection to the gateway. Null when it is none. */
export function parseTarget(userName: string): Target | null {
  const at = userName.lastIndexOf('@');
  if (at <= 0) return null;
  const target = { login: userName.slice(0, at), node: stripDomain(userName.slice(at + 1)) };
  return isLogin(target.login) && isName(target.node) ? target : null;
}

/** Nodes may be written with Steno's pseudo domain, so that one `Host *.steno` block covers them all. */
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
