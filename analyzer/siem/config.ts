/**
 * Where rows go by a file in YAML, which `steno up --siem` and the analyzer's field `siem` name, beside the destinations that the
 * authority keeps (schemas/documents/siem.ts). Explained in docs/siem.md.
 *
 *     destinations:
 *       - { name: lake, format: ocsf, url: 'https://collector.example/ingest', token_file: /etc/steno/lake.token }
 *       - { name: central, format: syslog, address: 'logs.example:6514', ca_file: /etc/steno/logs-ca.pem }
 */
import { z } from 'zod';
import { hostPort, path } from '#runtime/service/config.js';
import { MAX_SIEM_DESTINATIONS, siemFields, siemMaxMessage, siemUrl } from '#schemas/documents/siem.js';

const common = {
  ...siemFields,
  /** PEM, of the authorities that the other side's certificate may be from; the system's when left out. */
  ca_file: path.optional(),
  /** PEM, of this side, where the other one asks for it. */
  certificate_file: path.optional(),
  key_file: path.optional(),
};

const ocsf = z.strictObject({
  ...common,
  format: z.literal('ocsf'),
  url: siemUrl,
  /** Holds the token that goes along as `Authorization: Bearer`. */
  token_file: path.optional(),
});

const syslog = z.strictObject({ ...common, format: z.literal('syslog'), address: hostPort, max_message: siemMaxMessage });

export const siemDestination = z
  .discriminatedUnion('format', [ocsf, syslog])
  .refine(({ certificate_file: certificate, key_file: key }) => (certificate === undefined) === (key === undefined), {
    message: 'certificate_file and key_file go together',
  });
export type SiemDestination = z.output<typeof siemDestination>;

export const siemConfig = z.strictObject({
  destinations: z
    .array(siemDestination)
    .max(MAX_SIEM_DESTINATIONS)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'two destinations have the same name'),
});
