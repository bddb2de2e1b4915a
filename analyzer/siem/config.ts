/**
 * Where rows go: a file in YAML, which `steno up --siem` and the analyzer's field `siem` name. Explained in docs/siem.md.
 *
 *     destinations:
 *       - { name: lake, format: ocsf, url: 'https://collector.example/ingest', token_file: /etc/steno/lake.token }
 *       - { name: central, format: syslog, address: 'logs.example:6514', ca_file: /etc/steno/logs-ca.pem }
 */
import { z } from 'zod';
import { hostPort, path } from '#runtime/service/config.js';
import { isWebhookTarget } from '#schemas/documents/webhook.js';
import { changeTables } from '#stores/events/contract.js';

const common = {
  name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/, 'is no name: up to 32 lower-case letters, digits, dashes and underscores'),
  send: z
    .array(z.enum(changeTables))
    .min(1)
    .max(changeTables.length)
    .default([...changeTables]),
  /** Where a destination begins that was never sent anything. */
  from: z.enum(['now', 'beginning']).default('now'),
  /** PEM, of the authorities that the other side's certificate may be from; the system's when left out. */
  ca_file: path.optional(),
  /** PEM, of this side, where the other one asks for it. */
  certificate_file: path.optional(),
  key_file: path.optional(),
};

const ocsf = z.strictObject({
  ...common,
  format: z.literal('ocsf'),
  url: z
    .string()
    .max(2048)
    .refine((text) => isWebhookTarget(text, 'any'), 'is no https address, nor http of this machine; it has no user and no fragment'),
  /** Holds the token that goes along as `Authorization: Bearer`. */
  token_file: path.optional(),
});

const syslog = z.strictObject({
  ...common,
  format: z.literal('syslog'),
  address: hostPort,
  /** Bytes of a message: what is longer is cut, and says so. RFC 5425 asks receivers for 8192. */
  max_message: z.int().min(2_048).max(262_144).default(8_192),
});

export const siemDestination = z
  .discriminatedUnion('format', [ocsf, syslog])
  .refine(({ certificate_file: certificate, key_file: key }) => (certificate === undefined) === (key === undefined), {
    message: 'certificate_file and key_file go together',
  });
export type SiemDestination = z.output<typeof siemDestination>;
export type OcsfDestination = Extract<SiemDestination, { readonly format: 'ocsf' }>;
export type SyslogDestination = Extract<SiemDestination, { readonly format: 'syslog' }>;

export const siemConfig = z.strictObject({
  destinations: z
    .array(siemDestination)
    .max(16)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'two destinations have the same name'),
});
