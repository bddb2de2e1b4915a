/**
 * The node service: this machine as a node of the Steno that runs on it. Other machines join (node.ts).
 *
 * Order: identity (keys, host certificate), authority connection, SSH service, registration. Registered last, so that
 * nobody is sent to a node that does not answer. This machine holds the authority's secrets, so the accounts that can read
 * them are for administrators, and what leaves a session stays among this process's descendants. Tested in test/agent/agent.test.ts.
 */
import { connectAuthority } from '#runtime/service/authority-client.js';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { KernelLoad } from './kernel/kernel-recorder.js';
import { startKernelEvents } from './kernel/start.js';
import { adoptOrphans } from './orphans.js';
import { startSshService } from './ssh/ssh-service.js';

export interface AgentConfig {
  /** The node's name. */
  readonly name: string;
  readonly dataDir: string;
  /** `host:port`. */
  readonly listen: string;
  /** The authority's Unix socket, to enrol. */
  readonly socket: string;
  /** Base URL of the authority. */
  readonly authority: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** `wss://host:port` of ingest, where kernel events go; left out: none are recorded. */
  readonly ingest?: string;
}

export async function startAgent(
  config: AgentConfig,
  { log, clock = Date.now, kernelLoad }: { log: Log; clock?: () => number; kernelLoad?: KernelLoad },
): Promise<Running> {
  const identity = await openServiceIdentity(
    { kind: 'agent', name: config.name, socket: config.socket, dir: config.dataDir, hostNames: [] },
    { log, clock },
  );
  const authority = connectAuthority({ url: config.authority, identity }, { log });
  await authority.ready();
  const stopAdopting = adoptOrphans(log);
  const kernel =
    config.ingest === undefined
      ? null
      : startKernelEvents(config.name, config.dataDir, { ingest: config.ingest }, identity, log, kernelLoad);
  const colon = config.listen.lastIndexOf(':');
  const service = await startSshService(
    { host: config.listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(config.listen.slice(colon + 1)) },
    {
      node: config.name,
      hostKey: identity.hostKey!,
      hostCertificate: () => identity.hostCertificate(),
      userCas: () => authority.current().ssh_user_ca,
      log,
      clock,
      kernel: kernel?.recorder ?? null,
      owners: new Set([process.getuid!(), 0]),
    },
  );
  await authority.registerNode({
    address: service.address,
    labels: { ...config.labels },
    host_keys: [formatPublicLine(identity.hostKey!.publicBlob)],
    node_principals: true,
  });
  return {
    addresses: { ssh: service.address },
    async close() {
      await service.close();
      await kernel?.close();
      stopAdopting();
      authority.close();
      identity.close();
    },
  };
}
