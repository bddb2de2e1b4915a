/**
 * SIEM destinations, to which everything is sent as it is stored. A resource of administrators, in YAML.
 *
 *     kind: siem
 *     name: lake
 *     format: ocsf
 *     url: https://collector.example/ingest
 *     token: { file: lake-token }              # sent as `Authorization: Bearer`
 *     ca: |                                    # PEM; if omitted, the CAs that the analyzer's system trusts
 *       -----BEGIN CERTIFICATE-----
 *
 * The document never contains secrets (secret-reference.ts); the authority reads them and gives them only to analyzers.
 * Targets are https or http on this machine, or syslog over TLS. Tested in siem.test.ts.
 */
import { z } from 'zod';
import { parseDialAddress } from '../base/host-port.js';
import { secretReference } from './secret-reference.js';
import { isWebhookTarget } from './webhook.js';

/** Maximum of documents in an authority, and of destinations in an analyzer's file. */
export const MAX_SIEM_DESTINATIONS = 16;

const tables = ['events', 'audit', 'findings'] as const;

export const siemName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,31}$/, 'is not a name: up to 32 lower-case letters, digits, dashes and underscores');

/** Fields shared with the form in a file (analyzer/siem/config.ts). */
export const siemFields = {
  name: siemName,
  send: z
    .array(z.enum(tables))
    .min(1)
    .max(tables.length)
    .refine((all) => new Set(all).size === all.length, 'names something twice')
    .default([...tables]),
  /** Where sending starts for a new destination. */
  from: z.enum(['now', 'beginning']).default('now'),
};

export const siemUrl = z
  .string()
  .max(2048)
  .refine((text) => isWebhookTarget(text, 'any'), 'is not an https address, or http on this machine, without user and fragment');

/** Most bytes of a syslog message; longer ones are cut and marked. RFC 5425 recommends that receivers accept 8192. */
export const siemMaxMessage = z.int().min(2_048).max(262_144).default(8_192);

/** A name or an IPv4 address, or an IPv6 address in brackets, and a port. */
const address = z
  .string()
  .max(262)
  .refine((text) => parseDialAddress(text) !== undefined, 'is not HOST:PORT');

/** One certificate or several. The authority also parses each. */
const certificates = z
  .string()
  .max(65_536)
  .regex(/^(?:-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n){1,400}-----END CERTIFICATE-----\n{0,2}){1,32}$/, {
    error: 'is not PEM of certificates',
  });

const common = {
  kind: z.literal('siem'),
  ...siemFields,
  /** Certificates of the CAs that may have issued the server's certificate; the system's if omitted. */
  ca: certificates.optional(),
  /** The client certificate, if the server asks for one, and its private key, in PEM. */
  certificate: certificates.optional(),
  key: secretReference.optional(),
};

const ocsf = z.strictObject({ ...common, format: z.literal('ocsf'), url: siemUrl, token: secretReference.optional() });
const syslog = z.strictObject({ ...common, format: z.literal('syslog'), address, max_message: siemMaxMessage });

export const siemSchema = z
  .discriminatedUnion('format', [ocsf, syslog])
  .refine(({ certificate, key }) => (certificate === undefined) === (key === undefined), {
    path: ['certificate'],
    message: 'certificate and key go together',
  });
export type SiemDocument = z.output<typeof siemSchema>;
