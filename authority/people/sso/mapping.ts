/**
 * Maps a provider's claims about a person to a Steno user: name, roles, traits. Pure.
 *
 * Nothing is invented and nothing is cut: an invalid name, too many values or a mail address of another domain is refused
 * with the reason. Tested in mapping.test.ts.
 */
import type { Connector } from '#schemas/documents/connector.js';
import { matchesGlob } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName, parseTraits } from '#schemas/base/identity.js';
import type { Traits } from '#schemas/base/identity.js';

/** Values of a claim or attribute; empty if it is missing. */
export type Claims = (name: string) => readonly string[];

export interface Mapped {
  readonly user: string;
  /** Sorted and unique. */
  readonly roles: readonly string[];
  readonly traits: Traits;
}

const MAX_VALUES = 2_000;
const MAX_VALUE = 255;

/** `emailVerified`: the provider vouches for the mail address. Throws SSO_NAME, SSO_NO_ROLE, SSO_REFUSED. */
export function mapClaims(
  connector: Connector,
  claims: Claims,
  defaults: { readonly userClaim: string; readonly emailVerified: boolean },
): Mapped {
  const { user: naming, email } = connector;
  const userClaim = naming?.claim ?? defaults.userClaim;
  if (email !== undefined) checkEmail(only(claims, email.claim), email.domains);
  const mailDecides = email !== undefined || userClaim === 'email';
  if (mailDecides && connector.kind === 'oidc' && connector.verified_email && !defaults.emailVerified) {
    throw new StenoError('SSO_REFUSED', 'the provider does not say that it has verified the mail address (email_verified)');
  }
  const user = userName(only(claims, userClaim), naming?.strip_domain === true ? email!.domains : null);
  const roles = new Set<string>();
  for (const rule of connector.claims_to_roles) {
    if (bounded(claims, rule.claim).some((value) => matchesGlob(rule.value, value))) for (const role of rule.roles) roles.add(role);
  }
  if (roles.size === 0) throw new StenoError('SSO_NO_ROLE', user);
  const traits = Object.fromEntries(
    Object.entries(connector.traits)
      .map(([trait, claim]) => [trait, bounded(claims, claim)] as const)
      .filter(([, values]) => values.length > 0),
  );
  if (parseTraits(JSON.stringify(traits)) === null)
    throw new StenoError('SSO_REFUSED', 'a trait has over 64 values, or one of over 255 characters; map a smaller claim');
  return { user, roles: [...roles].sort(), traits };
}

function bounded(claims: Claims, name: string): readonly string[] {
  const values = claims(name);
  if (values.length > MAX_VALUES) throw new StenoError('SSO_REFUSED', `${name} has over ${MAX_VALUES} values`);
  return values.filter((value) => value.length <= MAX_VALUE);
}

/** The value of a claim that must have exactly one: with two, the choice would be arbitrary. */
function only(claims: Claims, name: string): string {
  const [value, ...more] = claims(name);
  if (value === undefined || value === '' || more.length > 0)
    throw new StenoError('SSO_NAME', `the provider sends ${value === undefined || value === '' ? 'no' : 'several values of'} ${name}`);
  if (value.length > MAX_VALUE) throw new StenoError('SSO_NAME', `${name} has over ${MAX_VALUE} characters`);
  return value;
}

/** ASCII only: other letters fold to ASCII in lower case, and would merge two people. */
function userName(value: string, domains: readonly string[] | null): string {
  const folded = /^[\x20-\x7e]*$/.test(value) ? value.toLowerCase() : '';
  const at = folded.lastIndexOf('@');
  if (domains !== null && (at < 1 || !domains.includes(folded.slice(at + 1))))
    throw new StenoError('SSO_NAME', 'the name does not end in one of the domains of the connector');
  const name = domains === null ? folded : folded.slice(0, at);
  if (isName(name)) return name;
  throw new StenoError(
    'SSO_NAME',
    `${JSON.stringify(value.slice(0, 64))} is no name: letters, digits, dot, dash, underscore${at > 0 && domains === null ? '; set user.strip_domain to leave the domain out' : ''}`,
  );
}

function checkEmail(address: string, domains: readonly string[]): void {
  const match = /^[^@\s]{1,64}@([A-Za-z0-9.-]{1,253})$/.exec(address);
  if (match === null || !domains.includes(match[1]!.toLowerCase()))
    throw new StenoError('SSO_REFUSED', 'the mail address is not of a domain that the connector allows');
}

/** Claims in JSON: by name, otherwise as a path through objects, such as `realm_access.roles`. */
export function jsonClaims(source: Readonly<Record<string, unknown>>): Claims {
  return (name) => {
    if (Object.hasOwn(source, name)) return scalars(source[name]);
    let at: unknown = source;
    for (const step of name.split('.')) {
      if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, step)) return [];
      at = (at as Record<string, unknown>)[step];
    }
    return scalars(at);
  };
}

function scalars(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((one: unknown) => (Array.isArray(one) ? [] : scalars(one)));
  if (typeof value === 'string') return [value];
  return typeof value === 'number' || typeof value === 'boolean' ? [String(value)] : [];
}
