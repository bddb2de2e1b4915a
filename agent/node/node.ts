/**
 * A joined machine: its identity, its tunnels, and the SSH server that sessions reach through them.
 *
 *     DIR/service.key host.key enrolment.json    its identity, 0600
 *     DIR/agent.json                             settings given at joining: name, gateways, pins, mode
 *     DIR/trust.json                             the CAs as last signed by an authority, so that a restart works offline
 *     DIR/gateways.json                          gateways learned after joining (gateways.ts)
 *     DIR/sshd/                                  for OpenSSH: user CAs and host certificate, kept fresh (sshd.ts)
 *
 * Start order: identity (kept, renewed or joined), labels, tunnels. Nothing listens: sessions arrive through the tunnels and
 * go to Steno's SSH service or to this machine's OpenSSH; requests go to the API server of a cluster, and orders to record commands in
 * pods to ../kube/. Tested in test/agent/tunnel.test.ts, and test/kube/ where the machine is a node of Kubernetes.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { join } from 'node:path';
import { z } from 'zod';
import { StenoError } from '#schemas/base/errors.js';
import { isName } from '#schemas/base/identity.js';
import { caPin, nodeTrust, sshModes } from '#schemas/join.js';
import type { NodeTrust, SignedTrust } from '#schemas/join.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { signNodeRequest, signRenewal, verifyTrust } from '#runtime/service/joining.js';
import type { Log } from '#runtime/log.js';
import type { Running } from '#runtime/service/process.js';
import { openServiceIdentity } from '#runtime/service/identity.js';
import type { ServiceIdentity } from '#runtime/service/identity.js';
import { loadPrivateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import type { Enrolment } from '#schemas/api/services/certificates.js';
import { cloudLabels } from './cloud.js';
import type { Cloud } from './cloud.js';
import { GONE_MS, Gateways } from './gateways.js';
import { join as joinThrough, rejoin } from './joining.js';
import { Labels } from './labels.js';
import type { LabelCommand } from './labels.js';
import { ApiWay, SERVICE_ACCOUNT, clusterAccess } from '../kube/api-way.js';
import type { ClusterAccess } from '../kube/api-way.js';
import { PodWatches } from '../kube/pod-watches.js';
import { startKernelEvents } from '../kernel/start.js';
import { createSshService } from '../ssh/ssh-service.js';
import { refreshSshd, takesNodePrincipals, watchConfigured } from './sshd.js';
import { AgentTunnel } from './tunnel.js';

const settingsSchema = z.strictObject({
  version: z.literal(1),
  name: z.string().refine(isName),
  gateways: z.array(z.string()).min(1).max(16),
  ca_pins: z.array(caPin).max(16),
  ssh: z.enum(sshModes),
  /** `host:port` of the sshd, and the private half of the host key that it presents; empty for Steno's own service. */
  sshd: z.string(),
  sshd_host_key: z.string(),
});
/** Settings given to a node when it joins, and kept. */
export type NodeSettings = z.infer<typeof settingsSchema>;

export interface NodeConfig {
  readonly dataDir: string;
  readonly settings: NodeSettings;
  /** Required until the machine has joined. */
  readonly token: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly labelCommands: readonly LabelCommand[];
  /** Only with `ssh: kubernetes`; if omitted, the address given to a pod. */
  readonly cluster?: ClusterAccess;
  /** Whether to report logins on this machine that belong to no session. */
  readonly watchLogins: boolean;
  readonly cloud: { readonly kind: Cloud; readonly endpoint?: string | undefined } | null;
}

export interface RunningNode extends Running {
  /** Resolves with the gateway's address when the first tunnel is up. */
  readonly up: Promise<string>;
}

const REPORT_RETRY_MS = 5_000;

/** Null: this machine has not joined. */
export function readSettings(dataDir: string): NodeSettings | null {
  const text = readMaybe(join(dataDir, 'agent.json'));
  if (text === undefined) return null;
  const parsed = settingsSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new StenoError('AGENT_NOT_JOINED', `${dataDir}/agent.json was written by another version`);
  return parsed.data;
}

export async function startNode(
  config: NodeConfig,
  { log, clock = Date.now }: { readonly log: Log; readonly clock?: () => number },
): Promise<RunningNode> {
  const { settings, dataDir } = config;
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const hostKey = settings.ssh === 'openssh' ? readHostKey(settings.sshd_host_key) : undefined;
  const gateways = new Gateways(dataDir, settings.gateways, clock);
  gateways.forget();
  const identity = await openIdentity(config, gateways.addresses, hostKey, log, clock);
  // Write this only after success: a refused join must leave no settings that a restart would trust.
  write(join(dataDir, 'agent.json'), `${JSON.stringify(settings, null, 2)}\n`);

  const keptTrust = readMaybe(join(dataDir, 'trust.json'));
  let trust: NodeTrust | undefined = keptTrust === undefined ? undefined : nodeTrust.parse(JSON.parse(keptTrust));
  const kernel =
    settings.ssh === 'service' || settings.ssh === 'pods'
      ? startKernelEvents(settings.name, dataDir, { gateways: gateways.addresses }, identity, log, {
          // The accounts of the machine are not those of the agent's container.
          logins: config.watchLogins && settings.ssh === 'service',
        })
      : null;
  const service =
    settings.ssh === 'service'
      ? createSshService({
          node: settings.name,
          hostKey: identity.hostKey!,
          hostCertificate: () => identity.hostCertificate(),
          log,
          clock,
          kernel: kernel?.recorder ?? null,
          userCas: () => {
            if (trust === undefined) throw new StenoError('NOT_RUNNING', 'nothing was heard of the authority yet');
            return trust.ssh_user_ca;
          },
        })
      : null;
  const way = settings.ssh === 'kubernetes' ? new ApiWay(config.cluster ?? clusterAccess(process.env, SERVICE_ACCOUNT), log) : null;
  const pods = kernel === null ? null : new PodWatches({ recorder: kernel.recorder, log });
  const refresh = (): void => {
    if (settings.ssh === 'openssh' && trust !== undefined)
      refreshSshd(dataDir, { userCas: trust.ssh_user_ca, hostCertificate: formatPublicLine(identity.hostCertificate()) }, log);
  };
  // Certificates may have been renewed while the agent was off.
  refresh();
  const serviceCas = (): string => String(identity.tlsClientOptions(['gateway']).ca);
  const onTrust = (signed: SignedTrust): void => {
    const heard = verifyTrust(signed, serviceCas(), clock());
    // A gateway may be behind: the most recent list counts.
    if (trust !== undefined && heard.time <= trust.time) return;
    trust = heard;
    write(join(dataDir, 'trust.json'), JSON.stringify(heard));
    identity.follow({ service_ca: heard.service_ca, signing: { ...heard.signing, recording: '' } });
    refresh();
    gateways.named(heard.gateways);
    dialAll();
  };

  const tunnels = new Map<string, AgentTunnel>();
  /** Sends over the first tunnel that answers. */
  const ask = async (make: () => Parameters<AgentTunnel['request']>[0]): Promise<unknown> => {
    let last: unknown = new StenoError('NOT_RUNNING', 'no tunnel is up');
    for (const tunnel of [...tunnels.values()].filter(({ up }) => up)) {
      try {
        return await tunnel.request(make());
      } catch (error) {
        if (error instanceof StenoError && !error.entry.retryable) throw error;
        last = error;
      }
    }
    throw last;
  };
  identity.renewWith(async () => {
    const renewed = (await ask(() =>
      signRenewal({ service: identity.signer, host: identity.hostKey! }, settings.name, clock()),
    )) as Enrolment;
    // CAs are trusted only if an authority has signed them (`onTrust`).
    return { ...renewed, service_ca: serviceCas() };
  });
  const stopRenewed = identity.onRenewed(refresh);
  // `configure-sshd` runs as a separate process, at any time.
  const stopWatching = settings.ssh === 'openssh' ? watchConfigured(dataDir, () => sayLabels()) : () => undefined;

  const reporter = new Reporter(
    async ({ labels, node_principals }, time) => {
      const { refused_labels: refused } = (await ask(() =>
        signNodeRequest(identity.signer, {
          kind: 'report',
          node: settings.name,
          time,
          labels: { ...labels },
          ssh: settings.ssh,
          node_principals,
        }),
      )) as { refused_labels: readonly string[] };
      if (refused.length > 0) log.warn({ labels: refused }, 'the token of this node does not allow these labels');
    },
    clock,
    log,
  );
  const labels = new Labels(
    {
      fixed: config.labels,
      commands: config.labelCommands,
      cloud: config.cloud === null ? null : () => cloudLabels(config.cloud!.kind, config.cloud!.endpoint),
    },
    { log, onChange: () => sayLabels() },
  );
  // Once the first tunnel is up, labels are reported anyway.
  const sayLabels = (): void => {
    if ([...tunnels.values()].some(({ up: there }) => there))
      reporter.say({ labels: labels.current(), node_principals: service !== null || takesNodePrincipals(dataDir) });
  };
  let announce: (gateway: string) => void = () => undefined;
  const up = new Promise<string>((resolve) => {
    announce = resolve;
  });
  let forgetting: NodeJS.Timeout | undefined;
  let closed = false;
  /** Dials a tunnel to each known gateway, and to no other. */
  const dialAll = (): void => {
    if (closed) return;
    clearTimeout(forgetting);
    let next = gateways.forget();
    for (const [gateway, tunnel] of [...tunnels]) {
      if (gateways.addresses.includes(gateway)) continue;
      if (tunnel.up) {
        // Its tunnel is up, although it is not listed: check again later.
        next = Math.min(next, GONE_MS);
        continue;
      }
      log.info({ gateway }, 'this gateway was removed');
      tunnels.delete(gateway);
      tunnel.close();
    }
    for (const gateway of gateways.addresses) {
      if (tunnels.has(gateway)) continue;
      tunnels.set(
        gateway,
        new AgentTunnel(gateway, {
          identity,
          log,
          onTrust,
          onStream: (stream, source, kind) => {
            if (kind === 'pod') return pods === null ? void stream.on('error', () => undefined).destroy() : pods.take(stream);
            // An agent that takes sessions takes no requests to the API server, and vice versa.
            if ((kind === 'kubernetes') !== (way !== null) || settings.ssh === 'pods') stream.on('error', () => undefined).destroy();
            else if (way !== null) way.take(stream);
            else if (service === null) toSshd(stream, settings.sshd, log);
            else service.take(stream, source);
          },
          onUp: (from) => {
            announce(from);
            identity.retry();
            sayLabels();
          },
        }),
      );
    }
    if (next === Infinity) return;
    forgetting = setTimeout(dialAll, next);
    forgetting.unref();
  };
  dialAll();
  void labels.start().then(sayLabels);
  return {
    addresses: {},
    up,
    async close() {
      closed = true;
      clearTimeout(forgetting);
      stopWatching();
      labels.close();
      reporter.close();
      for (const tunnel of tunnels.values()) tunnel.close();
      service?.close();
      way?.close();
      await kernel?.close();
      stopRenewed();
      identity.close();
    },
  };
}

function openIdentity(
  { dataDir, settings, token, labels }: NodeConfig,
  gateways: readonly string[],
  hostKey: SshPrivateKey | undefined,
  log: Log,
  clock: () => number,
): Promise<ServiceIdentity> {
  return openServiceIdentity(
    {
      kind: 'agent',
      name: settings.name,
      socket: '',
      dir: dataDir,
      hostNames: [],
      ...(hostKey === undefined ? {} : { hostKey }),
      enrol: async (keys, expired) => {
        if (expired !== undefined) {
          try {
            return { ...(await rejoin(gateways, expired.service_ca, settings.name, keys, clock())), service_ca: expired.service_ca };
          } catch (error) {
            // The node was removed in the meantime. Otherwise the token given at each start by a unit or container has been
            // used up.
            if (token === undefined || !(error instanceof StenoError && error.code === 'NODE_UNKNOWN')) throw error;
          }
        }
        if (token === undefined) throw new StenoError('AGENT_NOT_JOINED');
        if (settings.ca_pins.length === 0) throw new StenoError('USAGE', 'joining needs --ca-pin');
        const { enrolment } = await joinThrough(
          { gateways: settings.gateways, pins: settings.ca_pins, token, name: settings.name, labels, ssh: settings.ssh },
          keys,
        );
        log.info({ name: settings.name }, 'this machine has joined');
        return enrolment;
      },
    },
    { log, clock },
  );
}

/** The facts that a node reports about itself. */
interface Said {
  readonly labels: Readonly<Record<string, string>>;
  readonly node_principals: boolean;
}

/** Reports them if they have changed since they were last accepted; retries after a while on failure. */
class Reporter {
  readonly #send: (said: Said, time: number) => Promise<void>;
  readonly #clock: () => number;
  readonly #log: Log;
  #wanted = '';
  #taken = '';
  #time = 0;
  #busy = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(send: (said: Said, time: number) => Promise<void>, clock: () => number, log: Log) {
    this.#send = send;
    this.#clock = clock;
    this.#log = log;
  }

  say(said: Said): void {
    this.#wanted = JSON.stringify(said);
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    if (this.#busy || this.#closed || this.#wanted === this.#taken) return;
    this.#busy = true;
    const saying = this.#wanted;
    // Reports are ordered by their time.
    this.#time = Math.max(this.#clock(), this.#time + 1);
    try {
      await this.#send(JSON.parse(saying) as Said, this.#time);
      this.#taken = saying;
    } catch (error) {
      this.#log.info({ err: error }, 'failed to report labels; retrying');
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#run(), REPORT_RETRY_MS);
      this.#timer.unref();
      return;
    } finally {
      this.#busy = false;
    }
    void this.#run();
  }
}

/** Forwards to this machine's OpenSSH; each direction ends by itself. */
function toSshd(stream: Duplex, address: string, log: Log): void {
  const colon = address.lastIndexOf(':');
  const socket = connect({
    host: address.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(address.slice(colon + 1)),
    noDelay: true,
    allowHalfOpen: true,
  });
  const end = (): void => {
    socket.destroy();
    stream.destroy();
  };
  socket.on('error', (error) => {
    log.info({ err: error, sshd: address }, 'sshd cannot be reached');
    end();
  });
  stream.on('error', end);
  socket.on('close', () => void stream.end());
  stream.on('close', () => socket.destroySoon());
  stream.pipe(socket).pipe(stream);
}

function readHostKey(path: string): SshPrivateKey {
  const text = readMaybe(path);
  if (text === undefined) throw new StenoError('SSHD_CONFIG', `there is no host key ${path}`);
  return loadPrivateKey(text);
}

function readMaybe(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function write(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
}
