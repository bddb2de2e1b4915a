/** Configuration of an authority, as `steno authority --config` reads it. Explained in docs/operate.md. */
import { z } from 'zod';
import { clusterName } from '#schemas/documents/cluster.js';
import { hostPort, ingests, path, serviceFields, webBase } from '#runtime/service/config.js';

const postgres = z
  .string()
  .max(1024)
  .regex(/^postgres(ql)?:\/\//, 'is not postgres://USER@HOST/DATABASE')
  .refine((url) => !/^[^/]*\/\/[^/@]*:[^/@]*@|[?&]password=/.test(url), 'holds a password: put the URL into STENO_STATE');

export const authorityConfig = z.strictObject({
  ...serviceFields,
  /** Where services and commands connect. */
  listen: hostPort,
  /** The owner's Unix socket; DATA/authority.sock when left out. */
  socket: path.optional(),
  cluster: clusterName.default('main'),
  /** PostgreSQL, for authorities that share one store; SQLite under `data` when left out, unless $STENO_STATE has the URL. */
  state: postgres.optional(),
  /** File of the key that seals the CA keys; made under `data` when left out. Authorities that share a store share it. */
  seal_key: path.optional(),
  /** File with the passphrase that seals the CA keys instead. */
  seal_passphrase_file: path.optional(),
  /** YAML that says which PKCS#11 token new CA keys are made in. */
  ca_signer: path.optional(),
  /** Where audit rows go. */
  ingest: ingests,
  /** How users reach a gateway. */
  ssh: hostPort,
  /** How users reach a gateway's Kubernetes listener; left out: there is none. */
  kube: hostPort.optional(),
  /** How people reach the page: for links, single sign-on, and the site that passkeys belong to. */
  web: webBase,
});
export type AuthorityServiceConfig = z.output<typeof authorityConfig>;
