/**
 * XML signatures as used in SAML: one enveloped signature over its parent element, by a known key.
 *
 * The result is the exact octets whose digest was signed. Callers parse these and nothing else in the document, so content
 * placed elsewhere by a forger has no effect (signature wrapping). The shape of the signature is checked against an
 * allow-list before anything is computed; the signature of SignedInfo, which is small, comes before the digest of the rest;
 * keys and certificates in the document are never used. Tested in saml.test.ts.
 */
import { X509Certificate, constants, createHash, timingSafeEqual, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { canonicalize } from './canonical.js';
import { attributeOf, childOf, childrenOf, textOf } from './xml.js';
import type { XmlElement } from './xml.js';

export const DSIG = 'http://www.w3.org/2000/09/xmldsig#';
const MORE = 'http://www.w3.org/2001/04/xmldsig-more#';
const EXCLUSIVE = 'http://www.w3.org/2001/10/xml-exc-c14n#';
const ENVELOPED = 'http://www.w3.org/2000/09/xmldsig#enveloped-signature';
export const RSA_SHA256 = `${MORE}rsa-sha256`;

type Verifier = (data: Buffer, key: KeyObject, signature: Buffer) => boolean;
const rsa =
  (digest: string): Verifier =>
  (data, key, signature) =>
    key.asymmetricKeyType === 'rsa' && verify(digest, data, { key, padding: constants.RSA_PKCS1_PADDING }, signature);
const pss =
  (digest: string): Verifier =>
  (data, key, signature) =>
    key.asymmetricKeyType === 'rsa' &&
    verify(digest, data, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }, signature);
const ecdsa =
  (digest: string): Verifier =>
  (data, key, signature) =>
    key.asymmetricKeyType === 'ec' && verify(digest, data, { key, dsaEncoding: 'ieee-p1363' }, signature);

/** By URI (RFC 9231); SHA-1, HMAC and everything else are absent. */
const signatureMethods: ReadonlyMap<string, Verifier> = new Map([
  [RSA_SHA256, rsa('sha256')],
  [`${MORE}rsa-sha384`, rsa('sha384')],
  [`${MORE}rsa-sha512`, rsa('sha512')],
  ['http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1', pss('sha256')],
  ['http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1', pss('sha512')],
  [`${MORE}ecdsa-sha256`, ecdsa('sha256')],
  [`${MORE}ecdsa-sha384`, ecdsa('sha384')],
  [`${MORE}ecdsa-sha512`, ecdsa('sha512')],
]);
const digestMethods: ReadonlyMap<string, string> = new Map([
  ['http://www.w3.org/2001/04/xmlenc#sha256', 'sha256'],
  [`${MORE}sha384`, 'sha384'],
  ['http://www.w3.org/2001/04/xmlenc#sha512', 'sha512'],
]);
const idPattern = /^[A-Za-z_][A-Za-z0-9_.-]{0,255}$/;

function refuse(why: string): never {
  throw new StenoError('SSO_REFUSED', why);
}

/** The signed octets of `element`. SSO_REFUSED if it has no signature, or none made by one of `certificates` (PEM). */
export function verifyEnveloped(element: XmlElement, certificates: readonly string[]): string {
  const id = attributeOf(element, 'ID');
  if (id === undefined || !idPattern.test(id)) refuse(`the ${element.local} has no usable ID`);
  const [signature, ...more] = childrenOf(element, DSIG, 'Signature');
  if (signature === undefined) refuse(`the ${element.local} is not signed`);
  if (more.length > 0) refuse(`the ${element.local} has several signatures`);
  const { info, verifies, value, digest, digestValue, inclusive } = shapeOf(signature, id);
  const data = Buffer.from(canonicalize(info));
  const keys = certificates.map((pem) => new X509Certificate(pem).publicKey);
  if (!keys.some((key) => verifies(data, key, value)))
    refuse(`no key of this connector has made the signature of the ${element.local}, or it was altered since`);
  const octets = canonicalize(element, { without: signature, inclusive });
  const actual = createHash(digest).update(octets).digest();
  if (actual.length !== digestValue.length || !timingSafeEqual(actual, digestValue))
    refuse(`the ${element.local} was altered after it was signed`);
  return octets;
}

interface Shape {
  readonly info: XmlElement;
  readonly verifies: Verifier;
  readonly value: Buffer;
  readonly digest: string;
  readonly digestValue: Buffer;
  readonly inclusive: readonly string[];
}

function shapeOf(signature: XmlElement, id: string): Shape {
  const only = (element: XmlElement, names: readonly string[]): void => {
    const strange = element.children.find((child) => child.namespace !== DSIG || !names.includes(child.local));
    if (strange !== undefined) refuse(`a signature holds ${strange.local}`);
  };
  const algorithm = <T>(element: XmlElement, allowed: ReadonlyMap<string, T>): T => {
    const name = attributeOf(element, 'Algorithm') ?? '';
    const found = allowed.get(name);
    if (found === undefined) refuse(`a signature uses ${name.slice(0, 100) || 'no named'} as ${element.local}, which is not allowed`);
    return found;
  };
  only(signature, ['SignedInfo', 'SignatureValue', 'KeyInfo']);
  const info = childOf(signature, DSIG, 'SignedInfo');
  only(info, ['CanonicalizationMethod', 'SignatureMethod', 'Reference']);
  const canonicalization = childOf(info, DSIG, 'CanonicalizationMethod');
  algorithm(canonicalization, new Map([[EXCLUSIVE, true]]));
  const method = childOf(info, DSIG, 'SignatureMethod');
  const verifies = algorithm(method, signatureMethods);
  if (canonicalization.children.length > 0 || method.children.length > 0) refuse('a signature has parameters of its algorithms');
  const reference = childOf(info, DSIG, 'Reference');
  only(reference, ['Transforms', 'DigestMethod', 'DigestValue']);
  if (attributeOf(reference, 'URI') !== `#${id}`) refuse('a signature is not of the element that holds it');
  const transforms = childOf(reference, DSIG, 'Transforms');
  only(transforms, ['Transform']);
  const kinds = transforms.children.map((transform) =>
    algorithm(
      transform,
      new Map([
        [ENVELOPED, 'enveloped'],
        [EXCLUSIVE, 'exclusive'],
      ]),
    ),
  );
  if (kinds.join() !== 'enveloped,exclusive') refuse('a signature has other transforms than enveloped and exclusive canonicalisation');
  return {
    info,
    verifies,
    value: base64Of(childOf(signature, DSIG, 'SignatureValue')),
    inclusive: inclusiveOf(transforms.children),
    digest: algorithm(childOf(reference, DSIG, 'DigestMethod'), digestMethods),
    digestValue: base64Of(childOf(reference, DSIG, 'DigestValue')),
  };
}

function inclusiveOf([enveloped, exclusive]: readonly XmlElement[]): readonly string[] {
  if (enveloped!.children.length > 0) refuse('a transform has content');
  const [list, ...more] = exclusive!.children;
  if (list === undefined) return [];
  if (more.length > 0 || list.namespace !== EXCLUSIVE || list.local !== 'InclusiveNamespaces' || list.children.length > 0)
    refuse('a transform has content');
  return (attributeOf(list, 'PrefixList') ?? '')
    .split(' ')
    .filter((prefix) => prefix !== '')
    .map((prefix) => (prefix === '#default' ? '' : prefix));
}

function base64Of(element: XmlElement): Buffer {
  const text = textOf(element).replace(/\s/g, '');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) refuse(`${element.local} is not base64`);
  return Buffer.from(text, 'base64');
}
