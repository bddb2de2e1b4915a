/**
 * The node service: makes this machine a node of the Steno that runs on it. Other machines join (node.ts).
 *
 * Order: identity (keys, host certificate), authority connection, SSH service, registration. Registration comes last, so
 * that nobody is sent to a node that does not answer. This machine holds the authority's secrets, so accounts that can read
 * them are reserved for administrators, and processes that detach from a session remain descendants of this process. Tested
 * in test/agent/agent.test.ts.
 */
import type { Log } from '#runtime/log.js';
import { requireHostPort } from '#schemas/base/host-port.js';
import type { Running } from '#runtime/service/process.js';
import { openMember } from '#runtime/service/member.js';
import type { Joining } from '#runtime/service/member.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import type { KernelLoad } from './kernel/kernel-recorder.js';
import { startKernelEvents } from './kernel/start.js';
import { adoptOrphans } from './orphans.js';
import { startSshService } from './ssh/ssh-service.js';

export type AgentConfig = Joining & {
  /** `host:port`. */
  readonly listen: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** `wss://host:port` of ingest, which receives kernel events; if omitted, none are recorded. */
  readonly ingest?: string;
  /** Whether to record logins on this machine outside all sessions; default true. */
  readonly watch_logins?: boolean;
};

export async function startAgent(
  config: AgentConfig,
  { log, clock = Date.now, kernelLoad }: { log: Log; clock?: () => number; kernelLoad?: KernelLoad },
): Promise<Running> {
  const member = await openMember('agent', config, { dir: config.data, hostNames: [] }, { log, clock });
  const { identity, authority } = member;
  const stopAdopting = adoptOrphans(log);
  const kernel =
    config.ingest === undefined
      ? null
      : startKernelEvents(config.name, config.data, { ingest: config.ingest }, identity, log, {
          load: kernelLoad,
          logins: config.watch_logins ?? true,
        });
  const service = await startSshService(requireHostPort(config.listen), {
    node: config.name,
    hostKey: identity.hostKey!,
    hostCertificate: () => identity.hostCertificate(),
    userCas: () => authority.current().ssh_user_ca,
    log,
    clock,
    kernel: kernel?.recorder ?? null,
    owners: new Set([process.getuid!(), 0]),
  });
  await authority.registerNode({
    address: service.address,
    labels: { ...config.labels },
    host_keys: [formatPublicLine(identity.hostKey!.publicBlob)],
    node_principals: true,
  });
  return {
    addresses: { ssh: service.address },
    over: authority.removed,
    async close() {
      await service.close();
      await kernel?.close();
      stopAdopting();
      member.close();
    },
  };
}
