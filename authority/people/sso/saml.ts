/**
 * SAML 2.0: the requests that Steno sends, and the user proved by an answer.
 *
 * Requests go by redirect, signed (RSA-SHA256 over the query, saml-bindings 3.4.4.1); answers come by POST. An answer is
 * valid only for the request made by the browser's own login attempt, and only once: InResponseTo must be the id stored in
 * the attempt, and assertion ids are remembered until they expire. Unsolicited (IdP-initiated) answers are refused, since
 * nothing binds them to a browser. Tested in saml.test.ts.
 */
import { constants, createPrivateKey, randomBytes, sign } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import type { SamlConnector } from '#schemas/documents/connector.js';
import { StenoError } from '#schemas/base/errors.js';
import type { AttemptFacts, BrowserAnswer, LoginOutcome } from '../login/connector.js';
import { mapClaims } from './mapping.js';
import type { Claims } from './mapping.js';
import { ASSERTION, PROTOCOL, SKEW_MS, decodeSamlResponse, readSamlResponse } from './saml-response.js';
import type { SamlAssertion } from './saml-response.js';
import { DSIG, RSA_SHA256 } from './xml-signature.js';
import { escapeXml } from './xml.js';

const METADATA = 'urn:oasis:names:tc:SAML:2.0:metadata';
const POST = 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST';
const TRANSIENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient';

/** Steno's key towards one provider. */
export interface SamlKey {
  /** PKCS#8 in PEM: RSA, which every provider supports. */
  readonly privateKey: string;
  /** Certificate in PEM, which only carries the public key. */
  readonly certificate: string;
}

export interface SsoMemory {
  /** False if this id was seen before; it is remembered until `until`, ms since 1970. */
  firstUse(connector: string, id: string, until: number): Promise<boolean>;
  /** Throws SSO_NAME if the name belongs to another person of this connector. */
  bindSubject(connector: string, subject: string, user: string): Promise<void>;
}

/** URL of a connector's metadata, which is also Steno's entityID towards the provider unless configured otherwise. */
export function metadataUrl(web: string, connector: string): string {
  return `${web}/api/login/saml/${connector}/metadata`;
}

export function beginSaml(
  connector: SamlConnector,
  key: SamlKey,
  web: string,
  { state, callback }: AttemptFacts,
  now: number,
): { readonly url: string; readonly kept: { readonly id: string; readonly at: string } } {
  const id = `_${randomBytes(20).toString('hex')}`;
  const issuer = connector.sp_entity_id ?? metadataUrl(web, connector.name);
  const xml =
    `<samlp:AuthnRequest xmlns:samlp="${PROTOCOL}" xmlns:saml="${ASSERTION}" ID="${id}" Version="2.0" IssueInstant="${new Date(now).toISOString()}"` +
    ` Destination="${escapeXml(connector.sso_url)}" ProtocolBinding="${POST}" AssertionConsumerServiceURL="${escapeXml(callback)}"${connector.force_authn ? ' ForceAuthn="true"' : ''}>` +
    `<saml:Issuer>${escapeXml(issuer)}</saml:Issuer>` +
    `<samlp:NameIDPolicy${connector.name_id_format === undefined ? '' : ` Format="${connector.name_id_format}"`} AllowCreate="true"/></samlp:AuthnRequest>`;
  const fields: [string, string][] = [
    ['SAMLRequest', deflateRawSync(xml).toString('base64')],
    ['RelayState', state],
  ];
  if (connector.sign_requests) fields.push(['SigAlg', RSA_SHA256]);
  const encode = (pairs: readonly (readonly [string, string])[]): string =>
    pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  let query = encode(fields);
  if (connector.sign_requests) {
    const signature = sign('sha256', Buffer.from(query), { key: createPrivateKey(key.privateKey), padding: constants.RSA_PKCS1_PADDING });
    query += `&${encode([['Signature', signature.toString('base64')]])}`;
  }
  return { url: `${connector.sso_url}${connector.sso_url.includes('?') ? '&' : '?'}${query}`, kept: { id, at: String(now) } };
}

/** Throws SSO_REFUSED, SSO_REPLAYED, SSO_NAME, SSO_NO_ROLE. */
export async function finishSaml(
  connector: SamlConnector,
  key: SamlKey,
  web: string,
  answer: BrowserAnswer,
  kept: Readonly<Record<string, string>>,
  { callback }: AttemptFacts,
  memory: SsoMemory,
  now: number,
): Promise<LoginOutcome> {
  const field = answer.form['SAMLResponse'];
  if (answer.method !== 'POST' || field === undefined) throw new StenoError('SSO_REFUSED', 'this is not a SAML response');
  const assertion = readSamlResponse(decodeSamlResponse(field), {
    issuer: connector.entity_id,
    certificates: connector.certificates,
    audience: connector.sp_entity_id ?? metadataUrl(web, connector.name),
    acs: callback,
    encryption: connector.encryption,
    decryptionKey: createPrivateKey(key.privateKey),
    now,
  });
  if (assertion.inResponseTo === null) throw new StenoError('SSO_REFUSED', 'nobody requested this response');
  if (assertion.inResponseTo !== kept['id']) throw new StenoError('SSO_REFUSED', 'the response answers another request');
  if (connector.force_authn && !(assertion.authenticatedAt >= Number(kept['at']) - SKEW_MS))
    throw new StenoError('SSO_REFUSED', 'the provider did not require a new sign-in');
  if (!(await memory.firstUse(connector.name, assertion.id, assertion.refusedFrom))) throw new StenoError('SSO_REPLAYED');
  const mapped = mapClaims(connector, claimsOf(assertion), { userClaim: 'NameID', emailVerified: true });
  await memory.bindSubject(connector.name, `${connector.entity_id} ${subjectOf(connector, assertion)}`, mapped.user);
  return { ...mapped, mfa: connector.trust_mfa?.authn_context.includes(assertion.authnContext) === true ? `sso.${connector.name}` : null };
}

function claimsOf({ nameId, attributes }: SamlAssertion): Claims {
  return (name) => (name === 'NameID' ? [nameId] : (attributes.get(name) ?? []));
}

function subjectOf(connector: SamlConnector, assertion: SamlAssertion): string {
  if (connector.subject === undefined) {
    if (assertion.nameIdFormat === TRANSIENT)
      throw new StenoError('SSO_REFUSED', 'the NameID is transient; name a lasting attribute as `subject` of the connector');
    if (assertion.nameId === '') throw new StenoError('SSO_REFUSED', 'the NameID is empty');
    return `NameID ${assertion.nameId}`;
  }
  const values = assertion.attributes.get(connector.subject) ?? [];
  if (values.length !== 1 || values[0] === '') throw new StenoError('SSO_REFUSED', `${connector.subject} does not have one value`);
  return `${connector.subject} ${values[0]!}`;
}

/** The metadata that an operator gives to the provider. */
export function samlMetadata(connector: SamlConnector, key: SamlKey, web: string, callback: string): string {
  const base64 = key.certificate.replace(/-----[A-Z ]+-----|\s/g, '');
  const keyDescriptor = (use: string): string =>
    `<md:KeyDescriptor use="${use}"><ds:KeyInfo xmlns:ds="${DSIG}"><ds:X509Data><ds:X509Certificate>${base64}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`;
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<md:EntityDescriptor xmlns:md="${METADATA}" entityID="${escapeXml(connector.sp_entity_id ?? metadataUrl(web, connector.name))}">` +
    `<md:SPSSODescriptor AuthnRequestsSigned="${String(connector.sign_requests)}" WantAssertionsSigned="true" protocolSupportEnumeration="${PROTOCOL}">` +
    keyDescriptor('signing') +
    (connector.encryption === 'refuse' ? '' : keyDescriptor('encryption')) +
    (connector.name_id_format === undefined ? '' : `<md:NameIDFormat>${connector.name_id_format}</md:NameIDFormat>`) +
    `<md:AssertionConsumerService Binding="${POST}" Location="${escapeXml(callback)}" index="0" isDefault="true"/></md:SPSSODescriptor></md:EntityDescriptor>\n`
  );
}
