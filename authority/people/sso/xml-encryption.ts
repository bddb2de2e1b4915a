/**
 * Encrypted assertions: one content key, encrypted to the key in Steno's metadata.
 *
 * Accepted: RSA-OAEP for the key (MGF1 with SHA-1 is the format's default and sound there) and AES-GCM for content. AES-CBC
 * only if the response itself is signed and was verified before: otherwise an attacker who alters the ciphertext learns the
 * assertion from decryption failures (padding oracle). RSA PKCS#1 v1.5 is never accepted. All failures look the same. Tested
 * in saml.test.ts.
 */
import { constants, createDecipheriv, privateDecrypt } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { StenoError } from '#schemas/base/errors.js';
import { DSIG } from './xml-signature.js';
import { attributeOf, childOf, childrenOf, textOf } from './xml.js';
import type { XmlElement } from './xml.js';

const XENC = 'http://www.w3.org/2001/04/xmlenc#';
const XENC11 = 'http://www.w3.org/2009/xmlenc11#';
const OAEP = `${XENC}rsa-oaep-mgf1p`;
const OAEP11 = `${XENC11}rsa-oaep`;
const oaepDigests = new Map([
  [`${DSIG}sha1`, 'sha1'],
  [`${XENC}sha256`, 'sha256'],
  [`${XENC}sha512`, 'sha512'],
]);
const mgfDigests = new Map([
  [`${XENC11}mgf1sha1`, 'sha1'],
  [`${XENC11}mgf1sha256`, 'sha256'],
  [`${XENC11}mgf1sha512`, 'sha512'],
]);
const gcm = new Map<string, 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm'>([
  [`${XENC11}aes128-gcm`, 'aes-128-gcm'],
  [`${XENC11}aes192-gcm`, 'aes-192-gcm'],
  [`${XENC11}aes256-gcm`, 'aes-256-gcm'],
]);
const cbc = new Map([
  [`${XENC}aes128-cbc`, 'aes-128-cbc'],
  [`${XENC}aes192-cbc`, 'aes-192-cbc'],
  [`${XENC}aes256-cbc`, 'aes-256-cbc'],
]);

const failed = (): StenoError => new StenoError('SSO_REFUSED', 'the assertion cannot be decrypted');

/** The XML of the assertion. `ciphertextSigned`: the signature of the enclosing response was verified. */
export function decryptAssertion(
  encrypted: XmlElement,
  key: KeyObject,
  { ciphertextSigned }: { readonly ciphertextSigned: boolean },
): string {
  const data = childOf(encrypted, XENC, 'EncryptedData');
  const method = attributeOf(childOf(data, XENC, 'EncryptionMethod'), 'Algorithm') ?? '';
  if (!gcm.has(method) && !(ciphertextSigned && cbc.has(method))) {
    throw new StenoError(
      'SSO_REFUSED',
      cbc.has(method)
        ? 'the assertion is encrypted with CBC in a response that is not signed'
        : 'the assertion is encrypted with an algorithm that is not allowed',
    );
  }
  try {
    const contentKey = unwrap(keyOf(encrypted, data), key);
    const bytes = cipherValue(data);
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      gcm.has(method) ? openGcm(gcm.get(method)!, contentKey, bytes) : openCbc(cbc.get(method)!, contentKey, bytes),
    );
  } catch {
    throw failed();
  }
}

/** In KeyInfo, or beside the data; providers differ. */
function keyOf(encrypted: XmlElement, data: XmlElement): XmlElement {
  const inside = childrenOf(data, DSIG, 'KeyInfo').flatMap((info) => childrenOf(info, XENC, 'EncryptedKey'));
  const [found, ...more] = [...inside, ...childrenOf(encrypted, XENC, 'EncryptedKey')];
  if (found === undefined || more.length > 0) throw failed();
  return found;
}

function unwrap(encryptedKey: XmlElement, key: KeyObject): Buffer {
  const method = childOf(encryptedKey, XENC, 'EncryptionMethod');
  const algorithm = attributeOf(method, 'Algorithm');
  if (algorithm !== OAEP && algorithm !== OAEP11) throw failed();
  const digest = childrenOf(method, DSIG, 'DigestMethod')[0];
  const mgf = childrenOf(method, XENC11, 'MGF')[0];
  const oaepHash = digest === undefined ? 'sha1' : oaepDigests.get(attributeOf(digest, 'Algorithm') ?? '');
  const mgfHash = mgf === undefined ? 'sha1' : mgfDigests.get(attributeOf(mgf, 'Algorithm') ?? '');
  // Node's OAEP uses one digest for both; providers that mix them are refused.
  if (oaepHash === undefined || oaepHash !== mgfHash) throw failed();
  return privateDecrypt({ key, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash }, cipherValue(encryptedKey));
}

function cipherValue(element: XmlElement): Buffer {
  return Buffer.from(textOf(childOf(childOf(element, XENC, 'CipherData'), XENC, 'CipherValue')).replace(/\s/g, ''), 'base64');
}

function openGcm(algorithm: 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm', key: Buffer, bytes: Buffer): Buffer {
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, 12), { authTagLength: 16 });
  decipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
}

/** XML encryption pads with arbitrary bytes; only the last, the count, matters. */
function openCbc(algorithm: string, key: Buffer, bytes: Buffer): Buffer {
  const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, 16)).setAutoPadding(false);
  const plain = Buffer.concat([decipher.update(bytes.subarray(16)), decipher.final()]);
  const padding = plain.at(-1) ?? 0;
  if (padding < 1 || padding > 16) throw failed();
  return plain.subarray(0, -padding);
}
