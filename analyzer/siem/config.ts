/**
 * SIEM destinations from a YAML file, named by `steno up --siem` or the analyzer's field `siem`, in addition to those that the
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
  /** PEM file of CAs that may have issued the server's certificate; by default those of the system. */
  ca_file: path.optional(),
  /** PEM file of our client certificate, if the server requires one. */
  certificate_file: path.optional(),
  key_file: path.optional(),
};

const ocsf = z.strictObject({
  ...common,
  format: z.literal('ocsf'),
  url: siemUrl,
  /** File with the token that is sent as `Authorization: Bearer`. */
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
