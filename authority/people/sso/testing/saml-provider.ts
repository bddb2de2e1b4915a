/** A SAML identity provider for tests: `samlp`, with its own keys. It makes real responses, and can corrupt them. */
import 'reflect-metadata';
import { generateKeyPairSync, webcrypto } from 'node:crypto';
import { X509CertificateGenerator } from '@peculiar/x509';
import samlp from 'samlp';
import type { AuthnRequestFacts, SamlpOptions } from 'samlp';

export interface SigningKey {
  readonly key: string;
  readonly cert: string;
}

/** An RSA key of this size, or one on a curve. */
export async function signingKey(kind: number | 'P-256' = 2048): Promise<SigningKey> {
  const { privateKey, publicKey } =
    kind === 'P-256' ? generateKeyPairSync('ec', { namedCurve: kind }) : generateKeyPairSync('rsa', { modulusLength: kind });
  const algorithm =
    kind === 'P-256' ? { name: 'ECDSA', namedCurve: kind, hash: 'SHA-256' } : { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const keys = {
    privateKey: await webcrypto.subtle.importKey('pkcs8', privateKey.export({ type: 'pkcs8', format: 'der' }), algorithm, true, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), algorithm, true, ['verify']),
  };
  const certificate = await X509CertificateGenerator.createSelfSigned({ name: 'CN=idp', signingAlgorithm: algorithm, keys });
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert: certificate.toString('pem') };
}

export interface Person {
  readonly nameId: string;
  readonly nameIdFormat?: string;
  readonly attributes: Readonly<Record<string, string | readonly string[]>>;
}

export const PERSISTENT = 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent';
export const ann: Person = { nameId: 'ann', nameIdFormat: PERSISTENT, attributes: { groups: ['sre', 'staff'], email: 'ann@example.com' } };

/** The XML of a response. */
export function respond(idp: SigningKey, options: Partial<SamlpOptions>, person: Person = ann): Promise<string> {
  return new Promise((resolve, reject) => {
    samlp.getSamlResponse(
      {
        issuer: 'https://idp.example.com/metadata',
        cert: idp.cert,
        key: idp.key,
        lifetimeInSeconds: 300,
        signatureAlgorithm: 'rsa-sha256',
        digestAlgorithm: 'sha256',
        profileMapper: () => ({
          getClaims: () => person.attributes,
          getNameIdentifier: () => ({
            nameIdentifier: person.nameId,
            ...(person.nameIdFormat === undefined ? {} : { nameIdentifierFormat: person.nameIdFormat }),
          }),
        }),
        ...options,
      },
      person,
      (error, response) => (error === null ? resolve(response) : reject(error)),
    );
  });
}

/** Parses the request at `url`, verifying its signature against the sender's certificate. */
export function readRequest(url: URL, signingCert: string): Promise<AuthnRequestFacts> {
  return new Promise((resolve, reject) => {
    samlp.parseRequest(
      {
        method: 'GET',
        query: Object.fromEntries(url.searchParams),
        originalUrl: url.pathname + url.search,
        url: url.pathname + url.search,
      },
      { signingCert },
      (error, facts) => {
        if (error === null && facts !== undefined) resolve(facts);
        else reject(error ?? new Error('no request'));
      },
    );
  });
}

export function base64(xml: string): string {
  return Buffer.from(xml).toString('base64');
}
