/**
 * The contents of x509 certificates: the roots of the two x509 CAs, and the certificates they issue.
 *
 * | certificate | subject            | for                             | usage          |
 * | service     | CN=<kind>/<name>   | mutual TLS between stages       | server, client |
 * | user        | CN=<user>, O=role… | clients of kubectl and browsers | client         |
 *
 * Further facts in a user's certificate are in alternative names (schemas/kube/user-certificate.ts). Certificates of
 * gateways also have the DNS name `gateway.steno`, by which kubectl checks that it reached a gateway.
 *
 * Keys of CAs are ECDSA P-256. Roots of one CA differ in name by generation, so that they can be told apart in logs; chains
 * are built by key identifiers. No root allows intermediates: a leaked leaf key cannot become a CA. Tested in ca.test.ts.
 */
import 'reflect-metadata';
import { createPublicKey, randomBytes } from 'node:crypto';
import type { webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509Certificate,
} from '@peculiar/x509';
import { StenoError } from '#schemas/base/errors.js';
import { formatServiceName } from '#schemas/base/identity.js';
import type { ServiceName, UserIdentity } from '#schemas/base/identity.js';
import { KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import { x509UserNames } from '#schemas/kube/user-certificate.js';
import { spkiOf } from './signer.js';
import type { CaSigner } from './signer.js';

/** Times are ms since 1970; x509 knows only seconds. */
export interface X509Validity {
  readonly from: number;
  readonly until: number;
  readonly serial: bigint;
}

export type X509User = Pick<UserIdentity, 'user' | 'roles' | 'traits' | 'mfa' | 'requests'>;

const ROOT_LIFE_MS = 20 * 365 * 86_400_000;
const ecdsaP256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A root in PEM, self-signed. */
export async function selfSign(commonName: string, signer: CaSigner, now: number): Promise<string> {
  const publicKey = new PublicKey(spkiOf(signer));
  const subject = [{ CN: [commonName] }];
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(0n),
      subject,
      issuer: subject,
      notBefore: new Date(now - 60_000),
      notAfter: new Date(now + ROOT_LIFE_MS),
      publicKey,
      ...signing(),
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(publicKey),
      ],
    },
    signingCrypto(signer),
  );
  return `${certificate.toString('pem')}\n`;
}

/** PEM. `spkiPem` is P-256 or another key that Node's TLS supports. */
export function serviceLeaf(
  rootPem: string,
  signer: CaSigner,
  name: ServiceName,
  spkiPem: string,
  validity: X509Validity,
): Promise<string> {
  return leaf(rootPem, signer, [{ CN: [formatServiceName(name)] }], spkiPem, validity, [
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    new SubjectAlternativeNameExtension([
      { type: 'url', value: `steno://${formatServiceName(name)}` },
      ...(name.kind === 'gateway' ? [{ type: 'dns', value: KUBE_SERVER_NAME } as const] : []),
    ]),
  ]);
}

/** PEM. Kubernetes reads CN as user and each O as a group. */
export function userLeaf(
  rootPem: string,
  signer: CaSigner,
  { user, roles, ...facts }: X509User,
  spkiPem: string,
  validity: X509Validity,
): Promise<string> {
  return leaf(rootPem, signer, [...roles.map((role) => ({ O: [role] })), { CN: [user] }], spkiPem, validity, [
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    new SubjectAlternativeNameExtension(x509UserNames(facts).map((value) => ({ type: 'url', value }))),
  ]);
}

async function leaf(
  rootPem: string,
  signer: CaSigner,
  subject: Record<string, string[]>[],
  spkiPem: string,
  { from, until, serial }: X509Validity,
  extensions: Extension[],
): Promise<string> {
  const root = new X509Certificate(rootPem);
  const publicKey = new PublicKey(createPublicKey(spkiPem).export({ type: 'spki', format: 'der' }));
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(serial),
      subject,
      issuer: root.subjectName,
      notBefore: new Date(from),
      notAfter: new Date(until),
      publicKey,
      ...signing(),
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        ...extensions,
        await SubjectKeyIdentifierExtension.create(publicKey),
        await AuthorityKeyIdentifierExtension.create(root.publicKey),
      ],
    },
    signingCrypto(signer),
  );
  return `${certificate.toString('pem')}\n`;
}

/** Canonical SPKI in PEM of an ECDSA P-256 key, the only kind that stages and logins generate. `what`: the field. */
export function p256Key(text: string, what: string): string {
  let key;
  try {
    key = createPublicKey({ key: text, format: 'pem', type: 'spki' });
  } catch {
    throw new StenoError('KEY_GARBLED', `${what} is not SPKI in PEM`);
  }
  if (text.includes('PRIVATE')) throw new StenoError('KEY_GARBLED', `${what} is a private key`);
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw new StenoError('KEY_GARBLED', `${what} is not ECDSA P-256`);
  return key.export({ type: 'spki', format: 'pem' }).toString();
}

/** The generator requires a Web Crypto key; this one is a placeholder, since `signingCrypto` signs with the CA's key. */
function signing(): { signingAlgorithm: typeof ecdsaP256; signingKey: webcrypto.CryptoKey } {
  return {
    signingAlgorithm: ecdsaP256,
    signingKey: { type: 'private', algorithm: ecdsaP256, extractable: false, usages: ['sign'] } as unknown as webcrypto.CryptoKey,
  };
}

function signingCrypto(signer: CaSigner): webcrypto.Crypto {
  const subtle = {
    sign: async (_algorithm: unknown, _key: unknown, data: ArrayBuffer) => exactBuffer(await signer.sign(new Uint8Array(data))),
  };
  return { subtle, getRandomValues: globalThis.crypto.getRandomValues.bind(globalThis.crypto) } as unknown as webcrypto.Crypto;
}

function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  const copy = new ArrayBuffer(bytes.length);
  new Uint8Array(copy).set(bytes);
  return copy;
}

/**
 * 8 random bytes, then the store's serial: unpredictable, unique, and searchable. In hex, positive, without a leading zero.
 */
function serialNumber(serial: bigint): string {
  const bytes = randomBytes(8);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex') + serial.toString(16).padStart(16, '0');
}
