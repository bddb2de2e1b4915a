/**
 * Destinations of a SIEM over HTTP: documents for administrators, and the set with its secrets for analyzers.
 *
 * Documents name their secrets as webhooks do; each is read when an analyzer asks, so that a secret can be changed without
 * a restart. Users are never shown one. A secret that cannot be read keeps its own destination from being served, and no
 * other. Tested in siem.test.ts.
 */
import { X509Certificate, createHash } from 'node:crypto';
import { deleteSiemDestination, listSiemDestinations, putSiemDestination, readSiemSet } from '#schemas/api/detection/siem.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SecretReference } from '#schemas/documents/secret-reference.js';
import type { SiemDocument } from '#schemas/documents/siem.js';
import type { Directory } from '../directory/directory.js';
import { handle } from '../http/server.js';
import type { Route } from '../http/server.js';
import { auditRow } from '../records/audit.js';
import type { Records } from '../records/records.js';
import { deleteSiemDestination as remove, putSiemDestination as write, siemDestinations } from '../records/detection/siem.js';
import type { ReadSecret } from '../webhooks/secrets.js';

export interface SiemParts {
  readonly records: Records;
  readonly directory: Directory;
  readonly secrets: ReadSecret;
  readonly clock: () => number;
}

export function siemRoutes({ records, directory, secrets, clock }: SiemParts): readonly Route[] {
  return [
    handle(listSiemDestinations, () => records.read(siemDestinations)),
    handle(putSiemDestination, async ({ caller, body }, { name }) => {
      if (name !== body.name) throw new StenoError('BAD_REQUEST', 'path and body name different things');
      assertCertificates(body);
      await records.act([auditRow(clock(), caller, { event: 'siem.put', target: name, data: { destination: withoutPem(body) } })], (tx) =>
        write(tx, body, clock()),
      );
      await directory.changed();
      return body;
    }),
    handle(deleteSiemDestination, async ({ caller }, { name }) => {
      await records.act([auditRow(clock(), caller, { event: 'siem.delete', target: name })], (tx) => remove(tx, name));
      await directory.changed();
    }),
    handle(readSiemSet, async () => (await records.read(siemDestinations)).map((document) => withSecrets(document, secrets))),
  ];
}

function withSecrets(document: SiemDocument, secrets: ReadSecret) {
  const read = (reference: SecretReference | undefined): string | null => (reference === undefined ? null : secrets(reference));
  try {
    return { document, token: read(document.format === 'ocsf' ? document.token : undefined), key: read(document.key), lacking: null };
  } catch (error) {
    if (!(error instanceof StenoError)) throw error;
    return { document, token: null, key: null, lacking: error.message.slice(0, 256) };
  }
}

/** Throws BAD_REQUEST. */
function assertCertificates(document: SiemDocument): void {
  for (const field of ['ca', 'certificate'] as const)
    for (const pem of document[field]?.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [])
      try {
        new X509Certificate(pem);
      } catch (cause) {
        throw new StenoError('BAD_REQUEST', `${field}: holds something that is no certificate`, { cause });
      }
}

/** For the audit: certificates by the SHA-256 of their text. */
function withoutPem(document: SiemDocument): object {
  const digest = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const { ca, certificate, ...rest } = document;
  return {
    ...rest,
    ...(ca === undefined ? {} : { ca: digest(ca) }),
    ...(certificate === undefined ? {} : { certificate: digest(certificate) }),
  };
}
