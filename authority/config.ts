/** Configuration of an authority, as `steno authority --config` reads it. Explained in docs/operate.md. */
import { z } from 'zod';
import { clusterName } from '#schemas/documents/cluster.js';
import { hostPort, ingests, path, serviceFields, webBase } from '#runtime/service/config.js';

const postgres = z
  .string()
  .max(1024)
  .regex(/^postgres(ql)?:\/\//, 'is not postgres://USER@HOST/DATABASE')
  .refine((url) => !/^[^/]*\/\/[^/@]*:[^/@]*@|[?&]password=/.test(url), 'contains a password: put the URL into STENO_STATE');

export const authorityConfig = z.strictObject({
  ...serviceFields,
  /** Where services and commands connect. */
  listen: hostPort,
  /** The owner's Unix socket; DATA/authority.sock by default. */
  socket: path.optional(),
  cluster: clusterName.default('main'),
  /** PostgreSQL, for authorities that share one store; by default SQLite under `data`, unless $STENO_STATE has a URL. */
  state: postgres.optional(),
  /** File of the key that seals the CA keys; by default created under `data`. Authorities that share a store share it. */
  seal_key: path.optional(),
  /** File with the passphrase that seals the CA keys instead. */
  seal_passphrase_file: path.optional(),
  /** YAML file that names the PKCS#11 token for new CA keys. */
  ca_signer: path.optional(),
  /** YAML file with the automatic responses to findings; none by default. Read at the start. */
  responses: path.optional(),
  /** Ingests that receive audit rows. */
  ingest: ingests,
  /** Address at which users reach a gateway. */
  ssh: hostPort,
  /** Address at which users reach a gateway's Kubernetes listener; omitted if there is none. */
  kube: hostPort.optional(),
  /** URL at which users reach the page: for links, for single sign-on, and as the site of passkeys. */
  web: webBase,
});
export type AuthorityServiceConfig = z.output<typeof authorityConfig>;
