/** The authority as a process, started from its configuration. */
import { responsePolicy } from '#schemas/documents/response-policy.js';
import type { Log } from '#runtime/log.js';
import { readConfig, readSecret } from '#runtime/service/config.js';
import { startAuthority } from './app.js';
import type { RunningAuthority } from './app.js';
import { readSignerConfig } from './ca/signer-config.js';
import type { AuthorityServiceConfig } from './config.js';

/** `supervisor`: process id of an enclosing `steno up`. `sealPassphrase`: entered at its terminal. */
export interface AuthorityExtras {
  readonly supervisor?: number;
  readonly sealPassphrase?: string;
}

export function startAuthorityProcess(
  config: AuthorityServiceConfig & AuthorityExtras,
  { log }: { readonly log: Log },
): Promise<RunningAuthority> {
  const fromEnvironment = process.env['STENO_STATE'];
  const state = config.state ?? (fromEnvironment === '' ? undefined : fromEnvironment);
  const passphrase =
    config.sealPassphrase ?? (config.seal_passphrase_file === undefined ? undefined : readSecret(config.seal_passphrase_file));
  return startAuthority(
    {
      dataDir: config.data,
      listen: config.listen,
      name: config.name,
      cluster: config.cluster,
      ingest: config.ingest.map((base) => `${base}/uplink`),
      web: config.web,
      ...(config.kube === undefined ? {} : { kube: config.kube }),
      ...(config.socket === undefined ? {} : { socket: config.socket }),
      ...(state === undefined ? {} : { state: { kind: 'postgres', url: state } }),
      ...(config.seal_key === undefined ? {} : { sealKey: config.seal_key }),
      ...(passphrase === undefined ? {} : { sealPassphrase: passphrase }),
      ...(config.ca_signer === undefined ? {} : { caSigner: readSignerConfig(config.ca_signer) }),
      ...(config.responses === undefined ? {} : { responses: readConfig(config.responses, responsePolicy) }),
      ...(config.supervisor === undefined ? {} : { supervisor: config.supervisor }),
    },
    { log, clock: Date.now },
  );
}
