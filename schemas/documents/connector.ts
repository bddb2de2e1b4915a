/**
 * Connectors: YAML documents that connect Steno to an identity provider, by OpenID Connect or SAML 2.0.
 *
 * A connector decides who may log in, so nothing is guessed: unknown fields are errors, a mapping that matches nothing
 * grants nothing, and patterns support only `*`. Secrets can be set but never read. Tested in connector.test.ts.
 */
import { z } from 'zod';
import { isSurelyLoopback } from '../base/host-name.js';
import { isName } from '../base/identity.js';

/** Shorter than other names, to leave room for derived names such as `sso.NAME`. */
const name = z.string().max(59).refine(isName, 'is not a name: lower-case letters, digits, dot, dash and underscore');
/** Excludes the names of other ways of signing in. */
const connectorName = name.refine((text) => !['link', 'local', 'bot'].includes(text), 'is a way of signing in already');
const line = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^[^\p{Cc}]*$/u, 'has control characters');
/** A claim, an attribute, or a path into nested claims such as `realm_access.roles`. */
const claim = line(255);

/** Without credentials, fragments, or anything that two parsers could interpret differently. */
const urlPattern =
  /^(https?):\/\/([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:\/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?$/;

/** https, or http on a loopback address. */
export function isProviderUrl(text: string): boolean {
  const [, scheme, host] = urlPattern.exec(text) ?? [];
  return host !== undefined && (scheme === 'https' || isSurelyLoopback(host));
}

const providerUrl = z.string().max(1024).refine(isProviderUrl, 'is not an https URL (http only on a loopback address)');
const domain = z
  .string()
  .max(253)
  .regex(/^(?!-)[a-z0-9-]+(\.[a-z0-9-]+)+$/, 'is not a domain in lower case');
const pemCertificate = z
  .string()
  .max(16_384)
  .regex(/^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/, 'is not one certificate in PEM');

const common = {
  name: connectorName,
  /** Label of the button on the sign-in page. */
  display: line(64).optional(),
  /** The claim that gives the user's name. `strip_domain` cuts off the mail domain, which must be one of `email.domains`. */
  user: z.strictObject({ claim, strip_domain: z.boolean().default(false) }).optional(),
  /** A login without a mail address of one of these domains is refused. */
  email: z.strictObject({ claim: claim.default('email'), domains: z.array(domain).min(1).max(64) }).optional(),
  /** Every matching rule adds its roles; without a match, the login is refused. */
  claims_to_roles: z
    .array(z.strictObject({ claim, value: z.string().max(255), roles: z.array(name).min(1).max(64) }))
    .min(1)
    .max(256),
  /** Trait to claim. */
  traits: z
    .record(z.string().regex(/^[a-zA-Z][a-zA-Z0-9_.:/-]{0,62}$/), claim)
    .refine((map) => Object.keys(map).length <= 64, 'are too many')
    .default({}),
};

const idTokenAlgorithms = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;

export const oidcConnectorSchema = z.strictObject({
  kind: z.literal('oidc'),
  ...common,
  /** The provider's issuer identifier, exactly; the discovery document is fetched relative to it. */
  issuer: providerUrl.refine((text) => !text.includes('?'), 'has a query'),
  client_id: line(255),
  /** Write-only. If omitted when a connector is replaced, the old secret stays. */
  client_secret: line(1024).optional(),
  client_auth: z.enum(['basic', 'post', 'none']).default('basic'),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/))
    .max(32)
    .default(['openid', 'profile', 'email']),
  /** The one algorithm that ID tokens are signed with. */
  id_token_algorithm: z.enum(idTokenAlgorithms).default('RS256'),
  /** If a mail address decides, the provider must confirm that it verified the address (`email_verified`). */
  verified_email: z.boolean().default(true),
  /** Also query the userinfo endpoint, for claims missing from the ID token. */
  userinfo: z.boolean().default(false),
  /** Sign-ins at the provider older than this, in seconds, must be renewed there. */
  max_age: z.number().int().min(0).max(2_592_000).optional(),
  prompt: z.enum(['login', 'consent', 'select_account']).optional(),
  acr_values: z.array(line(255)).max(16).optional(),
  /** Values of `amr` or `acr` that count as a second factor. */
  trust_mfa: z.strictObject({ amr: z.array(line(255)).max(32).default([]), acr: z.array(line(255)).max(32).default([]) }).optional(),
  /** Signing out of Steno signs out of the provider too. */
  logout: z.boolean().default(false),
  /** CAs of a provider whose certificate no public CA has issued. */
  tls_ca: z.string().max(65_536).includes('-----BEGIN CERTIFICATE-----').optional(),
});

export const samlConnectorSchema = z.strictObject({
  kind: z.literal('saml'),
  ...common,
  /** EntityID of the identity provider. */
  entity_id: line(1024),
  sso_url: providerUrl,
  /** Certificates of the keys the provider signs with; several while it rotates. */
  certificates: z.array(pemCertificate).min(1).max(8),
  /** EntityID of Steno, and the audience of assertions; by default the URL of the metadata. */
  sp_entity_id: line(1024).optional(),
  /** Attribute that permanently identifies the person; NameID by default. Required if NameIDs are transient. */
  subject: claim.optional(),
  name_id_format: z
    .string()
    .max(255)
    .regex(/^urn:oasis:names:tc:SAML:[A-Za-z0-9.:-]+$/)
    .optional(),
  sign_requests: z.boolean().default(true),
  /** Whether assertions may, or must, be encrypted to Steno's key in the metadata. */
  encryption: z.enum(['refuse', 'allow', 'require']).default('refuse'),
  /** Whether an unsolicited answer (a tile of the provider's portal) starts a login here instead of being refused. The answer itself is never trusted. */
  idp_initiated: z.boolean().default(false),
  force_authn: z.boolean().default(false),
  /** AuthnContextClassRefs that count as a second factor. */
  trust_mfa: z.strictObject({ authn_context: z.array(line(255)).min(1).max(32) }).optional(),
});

const mailDomains = ({
  user,
  email,
}: {
  readonly user?: { readonly strip_domain: boolean } | undefined;
  readonly email?: object | undefined;
}): boolean => user?.strip_domain !== true || email !== undefined;
const mailDomainsFault = { path: ['user', 'strip_domain'], message: 'needs email.domains, or anybody of any domain could bear the name' };

/** The form that the authority accepts. */
export const connectorSchema = z
  .discriminatedUnion('kind', [oidcConnectorSchema, samlConnectorSchema])
  .refine(mailDomains, mailDomainsFault);

/** The form that users write: the secret may be in a file next to the document. */
export const oidcDocumentSchema = oidcConnectorSchema
  .extend({ client_secret_file: line(1024).optional() })
  .refine(({ client_secret, client_secret_file }) => client_secret === undefined || client_secret_file === undefined, {
    path: ['client_secret_file'],
    message: 'is given beside client_secret',
  })
  .refine(mailDomains, mailDomainsFault);
export const samlDocumentSchema = samlConnectorSchema.refine(mailDomains, mailDomainsFault);

export type OidcConnector = z.output<typeof oidcConnectorSchema>;
export type SamlConnector = z.output<typeof samlConnectorSchema>;
export type Connector = z.output<typeof connectorSchema>;

/** The fields shown on the sign-in page. */
export interface ConnectorSummary {
  readonly name: string;
  readonly kind: Connector['kind'];
  readonly display: string;
}

export function summaryOf({ name: called, kind, display }: Connector): ConnectorSummary {
  return { name: called, kind, display: display ?? called };
}

/** Whether all of `value` matches; `*` stands for any characters, or none. Time is at most proportional to the product of both lengths. */
export function matchesGlob(pattern: string, value: string): boolean {
  let [p, v, star, mark] = [0, 0, -1, 0];
  while (v < value.length) {
    if (p < pattern.length && pattern[p] === '*') {
      [star, mark] = [p, v];
      p += 1;
    } else if (p < pattern.length && pattern[p] === value[v]) {
      p += 1;
      v += 1;
    } else if (star >= 0) {
      p = star + 1;
      mark += 1;
      v = mark;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}
