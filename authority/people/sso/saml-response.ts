/**
 * SAML responses: from a browser's POST to a trustworthy assertion.
 *
 *  1 bounds, base64, UTF-8, strict XML                    nothing is expanded, nothing hostile is built
 *  2 shape: one Response, one assertion, its place, IDs that occur once
 *  3 the signature of the response, where it has one      from here on only signed octets are read
 *  4 decryption, where the assertion is encrypted
 *  5 the signature of the assertion, always               from here on only its signed octets are read
 *  6 who issued it, for whom, for which request, when
 *
 * Checks that need state (was this request ours, was this assertion seen) are left to the caller, using `inResponseTo` and
 * `id`. Every refusal is SSO_REFUSED with the reason. Pure but for the key; the clock is given. Tested in saml.test.ts, and
 * with mutated responses in saml-fuzz.test.ts.
 */
import type { KeyObject } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { decryptAssertion } from './xml-encryption.js';
import { DSIG, verifyEnveloped } from './xml-signature.js';
import { MAX_XML, attributeOf, childOf, childrenOf, descendants, parseXml, textOf } from './xml.js';
import type { XmlElement } from './xml.js';

export const PROTOCOL = 'urn:oasis:names:tc:SAML:2.0:protocol';
export const ASSERTION = 'urn:oasis:names:tc:SAML:2.0:assertion';
const BEARER = 'urn:oasis:names:tc:SAML:2.0:cm:bearer';
const SUCCESS = 'urn:oasis:names:tc:SAML:2.0:status:Success';
/** Allowed clock skew between provider and authority. */
export const SKEW_MS = 60_000;

export interface SamlExpectation {
  /** EntityID of the identity provider. */
  readonly issuer: string;
  /** PEM. */
  readonly certificates: readonly string[];
  /** EntityID of Steno. */
  readonly audience: string;
  /** URL the response was posted to. */
  readonly acs: string;
  readonly encryption: 'refuse' | 'allow' | 'require';
  readonly decryptionKey: KeyObject;
  /** ms since 1970. */
  readonly now: number;
}

export interface SamlAssertion {
  readonly id: string;
  /** The request it answers; null if unsolicited. */
  readonly inResponseTo: string | null;
  readonly nameId: string;
  readonly nameIdFormat: string;
  /** By Name; FriendlyNames are ignored. */
  readonly attributes: ReadonlyMap<string, readonly string[]>;
  readonly authnContext: string;
  /** When the person signed in at the provider, ms since 1970. */
  readonly authenticatedAt: number;
  /** ms since 1970, skew included: it must be remembered until then, after which it is refused anyway. */
  readonly refusedFrom: number;
}

function refuse(why: string): never {
  throw new StenoError('SSO_REFUSED', why);
}

/** The XML in the form field `SAMLResponse`. */
export function decodeSamlResponse(field: string): string {
  if (field.length > (MAX_XML * 4) / 3) refuse('the response is too large');
  const packed = field.replace(/[\r\n \t]/g, '');
  if (packed.length === 0 || packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed)) refuse('the response is not base64');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(packed, 'base64'));
  } catch {
    refuse('the response is not UTF-8');
  }
}

/** `xml`: from `decodeSamlResponse`. */
export function readSamlResponse(xml: string, expected: SamlExpectation): SamlAssertion {
  const received = parseXml(xml);
  checkPlaces(received);
  const signed = childrenOf(received, DSIG, 'Signature').length > 0;
  const response = signed ? parseXml(verifyEnveloped(received, expected.certificates)) : received;
  checkResponse(response, expected);
  const encrypted = childrenOf(response, ASSERTION, 'EncryptedAssertion')[0];
  if (encrypted === undefined && expected.encryption === 'require') refuse('the assertion is not encrypted');
  if (encrypted !== undefined && expected.encryption === 'refuse') refuse('the assertion is encrypted, which this connector does not take');
  // Use the text as received: declarations kept only in the assertion's own canonical form would be missing from the
  // response's.
  const claimed =
    encrypted === undefined
      ? childOf(received, ASSERTION, 'Assertion')
      : wholeAssertion(decryptAssertion(encrypted, expected.decryptionKey, { ciphertextSigned: signed }));
  const assertion = parseXml(verifyEnveloped(claimed, expected.certificates));
  if (assertion.namespace !== ASSERTION || assertion.local !== 'Assertion') refuse('the signed element is not an assertion');
  const read = readAssertion(assertion, expected);
  const answered = attributeOf(response, 'InResponseTo') ?? null;
  if (answered !== read.inResponseTo) refuse('response and assertion answer different requests');
  return read;
}

/** Where assertions, signatures and IDs may be: any other place is an attempt at signature wrapping. */
function checkPlaces(root: XmlElement): void {
  if (root.namespace !== PROTOCOL || root.local !== 'Response') refuse('this is not a SAML response');
  const ids = new Set<string>();
  let assertions = 0;
  for (const { element, parent } of descendants(root)) {
    for (const { local, value } of element.attributes) {
      if (local.toLowerCase() !== 'id') continue;
      if (ids.has(value)) refuse('an ID occurs twice');
      ids.add(value);
    }
    const name = element.local;
    if (name === 'Assertion' || name === 'EncryptedAssertion') {
      assertions += 1;
      if (element.namespace !== ASSERTION || parent !== root) refuse('an assertion is not where it belongs');
    }
    if (name === 'Response' && element !== root) refuse('there is a response within the response');
    if (name === 'Signature') {
      if (element.namespace !== DSIG || (parent !== root && parent?.local !== 'Assertion')) refuse('a signature is not where it belongs');
    }
  }
  if (assertions !== 1) refuse(assertions === 0 ? 'there is no assertion' : 'there are several assertions');
}

function wholeAssertion(source: string): XmlElement {
  const root = parseXml(source);
  if (root.namespace !== ASSERTION || root.local !== 'Assertion') refuse('the encrypted element is not an assertion');
  const ids = new Set<string>();
  for (const { element, parent } of descendants(root)) {
    if (element.local === 'Assertion' && element !== root) refuse('an assertion is not where it belongs');
    if (element.local === 'Signature' && parent !== root) refuse('a signature is not where it belongs');
    for (const { local, value } of element.attributes) {
      if (local.toLowerCase() === 'id' && ids.has(value)) refuse('an ID occurs twice');
      if (local.toLowerCase() === 'id') ids.add(value);
    }
  }
  return root;
}

function checkResponse(response: XmlElement, { issuer, acs, now }: SamlExpectation): void {
  if (attributeOf(response, 'Version') !== '2.0') refuse('the response is not of SAML 2.0');
  const destination = attributeOf(response, 'Destination');
  if (destination !== undefined && destination !== acs) refuse('the response is for another destination');
  const issued = moment(attributeOf(response, 'IssueInstant'), 'IssueInstant');
  if (issued > now + SKEW_MS) refuse('the response is from the future');
  const from = childrenOf(response, ASSERTION, 'Issuer');
  if (from.length > 1 || (from[0] !== undefined && textOf(from[0]).trim() !== issuer)) refuse('the response is from another issuer');
  const status = attributeOf(childOf(childOf(response, PROTOCOL, 'Status'), PROTOCOL, 'StatusCode'), 'Value') ?? '';
  if (status !== SUCCESS)
    refuse(
      `the identity provider refused: ${status
        .replace(/^.*:/, '')
        .replace(/[^A-Za-z0-9]/g, '')
        .slice(0, 64)}`,
    );
}

function readAssertion(assertion: XmlElement, expected: SamlExpectation): SamlAssertion {
  const { now } = expected;
  const id = attributeOf(assertion, 'ID')!;
  if (attributeOf(assertion, 'Version') !== '2.0') refuse('the assertion is not of SAML 2.0');
  if (textOf(childOf(assertion, ASSERTION, 'Issuer')).trim() !== expected.issuer) refuse('the assertion is from another issuer');
  if (moment(attributeOf(assertion, 'IssueInstant'), 'IssueInstant') > now + SKEW_MS) refuse('the assertion is from the future');
  const subject = childOf(assertion, ASSERTION, 'Subject');
  const nameId = childOf(subject, ASSERTION, 'NameID');
  const confirmation = confirmedBy(subject, expected);
  const until = checkConditions(childOf(assertion, ASSERTION, 'Conditions'), expected);
  const statement = childOf(assertion, ASSERTION, 'AuthnStatement');
  const authenticatedAt = moment(attributeOf(statement, 'AuthnInstant'), 'AuthnInstant');
  if (authenticatedAt > now + SKEW_MS) refuse('the sign-in at the provider is from the future');
  const sessionEnd = attributeOf(statement, 'SessionNotOnOrAfter');
  if (sessionEnd !== undefined && moment(sessionEnd, 'SessionNotOnOrAfter') <= now - SKEW_MS) refuse('the session at the provider is over');
  const context = childrenOf(childOf(statement, ASSERTION, 'AuthnContext'), ASSERTION, 'AuthnContextClassRef')[0];
  return {
    id,
    inResponseTo: confirmation.inResponseTo,
    nameId: textOf(nameId).trim(),
    nameIdFormat: attributeOf(nameId, 'Format') ?? '',
    attributes: attributesOf(assertion),
    authnContext: context === undefined ? '' : textOf(context).trim(),
    authenticatedAt,
    refusedFrom: Math.max(confirmation.until, until) + SKEW_MS,
  };
}

/** The bearer confirmation that is valid here and now; one of several suffices. */
function confirmedBy(subject: XmlElement, { acs, now }: SamlExpectation): { readonly inResponseTo: string | null; readonly until: number } {
  let why = 'the assertion is not for its bearer';
  for (const confirmation of childrenOf(subject, ASSERTION, 'SubjectConfirmation')) {
    if (attributeOf(confirmation, 'Method') !== BEARER) continue;
    const data = childOf(confirmation, ASSERTION, 'SubjectConfirmationData');
    const until = moment(attributeOf(data, 'NotOnOrAfter'), 'NotOnOrAfter');
    const from = attributeOf(data, 'NotBefore');
    if (attributeOf(data, 'Recipient') !== acs) why = 'the assertion is for another recipient';
    else if (until <= now - SKEW_MS) why = 'the assertion is stale';
    else if (from !== undefined && moment(from, 'NotBefore') > now + SKEW_MS) why = 'the assertion is not valid yet';
    else return { inResponseTo: attributeOf(data, 'InResponseTo') ?? null, until };
  }
  refuse(why);
}

function checkConditions(conditions: XmlElement, { audience, now }: SamlExpectation): number {
  const known = ['AudienceRestriction', 'OneTimeUse', 'ProxyRestriction'];
  const unknown = conditions.children.find((child) => child.namespace !== ASSERTION || !known.includes(child.local));
  if (unknown !== undefined) refuse(`the assertion sets a condition that is not understood: ${unknown.local}`);
  const from = attributeOf(conditions, 'NotBefore');
  if (from !== undefined && moment(from, 'NotBefore') > now + SKEW_MS) refuse('the assertion is not valid yet');
  const end = moment(attributeOf(conditions, 'NotOnOrAfter'), 'NotOnOrAfter');
  if (end <= now - SKEW_MS) refuse('the assertion is stale');
  const restrictions = childrenOf(conditions, ASSERTION, 'AudienceRestriction');
  const meant = restrictions.every((restriction) =>
    childrenOf(restriction, ASSERTION, 'Audience').some((one) => textOf(one).trim() === audience),
  );
  if (restrictions.length === 0 || !meant) refuse('the assertion is for another audience');
  return end;
}

function attributesOf(assertion: XmlElement): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const statement of childrenOf(assertion, ASSERTION, 'AttributeStatement')) {
    for (const attribute of childrenOf(statement, ASSERTION, 'Attribute')) {
      const name = attributeOf(attribute, 'Name');
      if (name === undefined) refuse('an attribute has no name');
      // Values with child elements are for other readers; a mapping cannot name them.
      const values = childrenOf(attribute, ASSERTION, 'AttributeValue')
        .filter((value) => value.children.length === 0)
        .map((value) => value.text.trim());
      found.set(name, [...(found.get(name) ?? []), ...values]);
    }
  }
  return found;
}

/** xs:dateTime in UTC, the only form SAML allows. ms since 1970. */
function moment(text: string | undefined, what: string): number {
  const at =
    text !== undefined && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/.test(text)
      ? Date.parse(text.replace(/(\.\d{3})\d+Z$/, '$1Z'))
      : Number.NaN;
  if (Number.isNaN(at)) refuse(`${what} is not a time in UTC`);
  return at;
}
