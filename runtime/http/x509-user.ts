/**
 * Identifies the user at the other end of a TLS connection by the Steno user certificate that it presented.
 *
 * TLS checks the chain, the dates and the purpose when the connection begins. Connections may outlast certificates and CAs:
 * therefore each new request checks that the certificate has not expired, and running requests check, with every snapshot, that its
 * CA is still trusted. Tested in gateway/kube/proxy.test.ts.
 */
import { X509Certificate } from 'node:crypto';
import type { Snapshot } from '#schemas/snapshot.js';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import type { UserIdentity } from '#schemas/base/identity.js';
import { parseX509UserNames } from '#schemas/kube/user-certificate.js';

export interface CertifiedUser {
  readonly identity: UserIdentity;
  readonly certificate: X509Certificate;
}

/** Throws CERT_GARBLED for a certificate that does not name a user in the form this version writes. */
export function certifiedUser(der: Buffer): CertifiedUser {
  const certificate = parsed(der);
  const subject = certificate.subject.split('\n');
  const users = subject.flatMap((part) => (part.startsWith('CN=') ? [part.slice(3)] : []));
  const roles = subject.flatMap((part) => (part.startsWith('O=') ? [part.slice(2)] : []));
  // Node prints names written by Steno verbatim; a name that needs quoting is not Steno's.
  const names = (certificate.subjectAltName ?? '').split(', ').flatMap((name) => (name.startsWith('URI:') ? [name.slice(4)] : [null]));
  const facts = names.includes(null) ? null : parseX509UserNames(names as readonly string[]);
  const [user] = users;
  const sound =
    user !== undefined && users.length === 1 && users.length + roles.length === subject.length && [user, ...roles].every(isName);
  if (!sound || roles.length > 256 || facts === null)
    throw new StenoError('CERT_GARBLED', 'it does not name a user as this gateway reads it');
  return {
    identity: {
      user,
      roles,
      ...facts,
      cluster: null,
      // The lower half is the authority's own number; the upper half makes the whole unpredictable.
      serial: BigInt(`0x${certificate.serialNumber.slice(-16)}`).toString(),
      keyId: `user=${user}`,
      validBefore: Math.floor(Date.parse(certificate.validTo) / 1000),
    },
    certificate,
  };
}

function parsed(der: Buffer): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw new StenoError('CERT_GARBLED', 'it is not an x509 certificate', { cause });
  }
}

/** Caches whether CAs have issued a certificate; snapshots with the same CAs share the cache. */
const issued = new WeakMap<readonly string[], WeakMap<X509Certificate, boolean>>();

/** Throws CERT_EXPIRED. Running requests continue within their own limits. `now`: ms since 1970. */
export function assertUnexpired({ identity }: CertifiedUser, now: number): void {
  if (now >= identity.validBefore * 1000) throw new StenoError('CERT_EXPIRED');
}

/** Certificates begin a minute before they are issued (authority/ca/certificates.ts). */
const BACKDATE_MS = 60_000;

/** Throws CERT_UNKNOWN_CA if the certificate's CA is no longer trusted, ACCESS_DENIED if the user name now belongs to somebody else. */
export function assertTrusted(
  { certificate, identity: { user } }: CertifiedUser,
  { x509_user_ca, names_since: names = {} }: Pick<Snapshot, 'x509_user_ca'> & Partial<Pick<Snapshot, 'names_since'>>,
): void {
  const since = Object.hasOwn(names, user) ? names[user] : undefined;
  // Certificates state times in whole seconds.
  if (since !== undefined && Math.floor((Date.parse(certificate.validFrom) + BACKDATE_MS) / 1000) < Math.floor(since / 1000))
    throw new StenoError('ACCESS_DENIED', `the certificate was issued to an earlier user named ${user}`);
  const known = issued.get(x509_user_ca) ?? new WeakMap<X509Certificate, boolean>();
  issued.set(x509_user_ca, known);
  let counts = known.get(certificate);
  if (counts === undefined) {
    counts = x509_user_ca.some((pem) => {
      const ca = new X509Certificate(pem);
      return certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
    });
    known.set(certificate, counts);
  }
  if (!counts) throw new StenoError('CERT_UNKNOWN_CA');
}
