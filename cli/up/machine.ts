/**
 * One machine's Steno: which stage starts when, with which configuration.
 *
 *  1 lock the data directory, check Node, binding, disk and ports: nothing has started when one of them fails
 *  2 authority                   its socket admits only the owner of the machine
 *  3 gateway                     own process, so that a heavy query never delays a keystroke
 *    agent                       this machine as a node
 *  4 store                        ingest, viewer and analyzer: one process, because a chDB directory belongs to one
 *  5 run.json                    says that all of it is ready
 *
 * The programs of 2 and 3 are loaded side by side, and the stages of 3 begin when the authority answers. Sessions are
 * admitted from then on: the gateway's spool keeps what they print until the store is there, which therefore comes last.
 * Closing goes agent, gateway, store, authority: sessions end first and what they leave is still stored. Tested end to
 * end in test/.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createServiceToken } from '#schemas/api/services/services.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import { formatHostPort, requireHostPort } from '#schemas/base/host-port.js';
import { isLoopbackHost } from '#schemas/base/host-name.js';
import { isName } from '#schemas/base/identity.js';
import { enterFips } from '#runtime/fips.js';
import type { Log } from '#runtime/log.js';
import { sshBindingAvailable } from '#runtime/ssh/native-binding.js';
import { tokenKinds } from '#schemas/service-join.js';
import type { ServiceTokenCreated } from '#schemas/api/services/services.js';
import type { TokenKind } from '#schemas/service-join.js';
import type { AgentConfig } from '../../agent/agent.js';
import type { AuthorityServiceConfig } from '../../authority/config.js';
import type { AuthorityExtras } from '../../authority/process.js';
import { workerCount, workerName } from '../../gateway/config.js';
import type { GatewayStart } from '../../gateway/config.js';
import { overSocket } from '../client/client.js';
import { checkDisk, lockDataDir, writeRunFile } from '../machine/data-dir.js';
import type { DataDir, RunFile } from '../machine/data-dir.js';
import { requireNodeVersion } from '../machine/node-version.js';
import { reserve } from '../machine/ports.js';
import type { StoreProcessConfig } from '../services/store.js';
import { programs } from './programs.js';
import type { StageName } from './programs.js';
import { startStage } from './supervisor.js';
import type { Stage, StageOptions } from './supervisor.js';

const DEFAULT_TUNNEL_PORT = 8024;
/** Name of this machine's services; services elsewhere have their own names. */
const SERVICE_NAME = 'local';
const TOKEN_TTL_MS = 600_000;
const CLOSING: readonly StageName[] = ['agent', 'gateway', 'store', 'authority'];

export interface MachineOptions {
  readonly dir: DataDir;
  readonly version: string;
  readonly sshListen: string;
  /** `host:port` at which users reach the gateway; undefined: where it listens. */
  readonly sshAddress: string | undefined;
  readonly webListen: string;
  /** How people reach the page; null: by the name of this machine's loopback. */
  readonly webAddress: string | null;
  readonly webProxies: readonly string[];
  /** Processes of the gateway; `auto`: one for each core. */
  readonly workers: number | 'auto';
  /** Address for clients of Kubernetes; undefined for none. */
  readonly kubeListen: string | undefined;
  /** `host:port` at which users reach it; undefined: where it listens. */
  readonly kubeAddress: string | undefined;
  readonly tunnelListen: string | undefined;
  readonly tunnelAddress: string | undefined;
  readonly objects: string | undefined;
  /** A ClickHouse server; the embedded event store when left out. */
  readonly events: string | undefined;
  /** Folder of Sigma rules beside the built-in ones. */
  readonly rules: string | undefined;
  /** Whether this machine analyzes sessions. */
  readonly analyzer: boolean;
  /** File of automatic responses to findings. */
  readonly responses: string | undefined;
  readonly siem: string | undefined;
  /** `postgres://…`; SQLite when left out. */
  readonly state: string | undefined;
  readonly sealKey: string | undefined;
  /** `main` when left out. */
  readonly cluster: string | undefined;
  readonly sealPassphrase: string | undefined;
  /** File that names the token for keys of CAs. */
  readonly caSigner: string | undefined;
  /** Its program, forked while this process was still loading. */
  readonly authority: ChildProcess | undefined;
  /** Only approved algorithms, in every stage. */
  readonly fips: boolean;
  /** Name of this machine as a node; null: its host name; false: no node. */
  readonly node: string | null | false;
  /** Whether to record logins on this machine outside all sessions. */
  readonly watchLogins: boolean;
}

export interface Machine {
  readonly run: RunFile & { readonly node_login: string };
  readonly data: string;
  close(): Promise<void>;
}

export async function startMachine(
  options: MachineOptions,
  { log, progress }: { log: Log; progress: (line: string) => void },
): Promise<Machine> {
  requireNodeVersion();
  if (!sshBindingAvailable()) throw new StenoError('BINDING_MISSING');
  if (options.fips) enterFips();
  const { dir } = options;
  const node = options.node === false ? null : nodeName(options.node);
  mkdirSync(dir.path, { recursive: true, mode: 0o700 });
  checkDisk(dir.path);
  const orphans = processesOf(dir);
  const unlock = lockDataDir(dir);
  const stages = new Map<StageName, Stage>();
  const close = async (): Promise<void> => {
    for (const name of CLOSING) await stages.get(name)?.close();
    unlock();
  };
  try {
    await outlive(orphans, log);
    const ssh = await reserve(options.sshListen, '--ssh-listen');
    const { host, port } = requireHostPort(options.sshListen);
    const tunnel = await reserve(
      options.tunnelListen ?? formatHostPort({ host, port: port === 0 ? 0 : DEFAULT_TUNNEL_PORT }),
      '--tunnel-listen',
    );
    const web = await reserve(options.webListen, '--web-listen');
    const kube = options.kubeListen === undefined ? undefined : await reserve(options.kubeListen, '--kube-listen');
    const [authority, ingest, agent] = await Promise.all(['authority', 'ingest', 'agent'].map((name) => reserve('127.0.0.1:0', name)));
    const sub = (name: string): string => {
      const path = join(dir.path, name);
      mkdirSync(path, { recursive: true, mode: 0o700 });
      return path;
    };
    sub('logs');
    const start = (name: StageName, config: () => object, { after, program }: Pick<StageOptions, 'after' | 'program'> = {}): Stage => {
      progress(`starting ${name} …`);
      const stage = startStage(
        {
          name,
          module: programs[name],
          config: () => ({ ...config(), version: options.version, fips: options.fips }),
          logFile: join(dir.logs, `${name}.log`),
          ...(after === undefined ? {} : { after }),
          program,
        },
        log,
      );
      stages.set(name, stage);
      return stage;
    };
    const page = options.webAddress ?? pageAddress(web);
    const reached = options.sshAddress ?? ssh;
    const authorityUrl = `https://${authority!}`;
    const ingestUrl = `wss://${ingest!}`;
    const { fips } = options;
    const { ready: answering } = start(
      'authority',
      (): AuthorityServiceConfig & AuthorityExtras => ({
        name: 'main',
        data: dir.path,
        fips,
        listen: authority!,
        socket: dir.socket,
        cluster: options.cluster ?? 'main',
        ingest: [ingestUrl],
        ssh: reached,
        web: page,
        ...(kube === undefined ? {} : { kube: options.kubeAddress ?? kube }),
        supervisor: process.pid,
        ...(options.responses === undefined ? {} : { responses: resolve(options.responses) }),
        ...(options.state === undefined ? {} : { state: options.state }),
        ...(options.sealKey === undefined ? {} : { seal_key: resolve(options.sealKey) }),
        ...(options.sealPassphrase === undefined ? {} : { sealPassphrase: options.sealPassphrase }),
        ...(options.caSigner === undefined ? {} : { ca_signer: resolve(options.caSigner) }),
      }),
      { program: options.authority },
    );
    // The services join as services on other machines do; only the one who hands out the tokens is the owner of this one.
    const nameOf = (kind: TokenKind): string => (kind === 'agent' ? (node ?? '') : SERVICE_NAME);
    const tokens = new Map<TokenKind, ServiceTokenCreated>();
    const workerTokens: string[] = [];
    const welcomed = answering.then(async () => {
      for (const kind of tokenKinds)
        if (kind !== 'agent' || node !== null) tokens.set(kind, await serviceToken(dir.socket, kind, nameOf(kind)));
      for (let number = 2; number <= workerCount(options); number++)
        workerTokens.push((await serviceToken(dir.socket, 'gateway', workerName(SERVICE_NAME, number))).token);
    });
    welcomed.catch(() => undefined);
    const member = (kind: TokenKind, data: string) => ({
      name: nameOf(kind),
      data,
      fips,
      authorities: [authorityUrl],
      join: { ca_pins: [...tokens.get(kind)!.ca_pins] },
    });
    const gatewayData = sub('gateway');
    const storeData = sub('store');
    const admitting = [
      start(
        'gateway',
        (): GatewayStart => ({
          ...member('gateway', gatewayData),
          token: tokens.get('gateway')!.token,
          worker_tokens: workerTokens,
          workers: options.workers,
          listen: ssh,
          ingest: [ingestUrl],
          drain: '0s',
          tunnel: { listen: tunnel, ...(options.tunnelAddress === undefined ? {} : { address: options.tunnelAddress }) },
          ...(options.sshAddress === undefined ? {} : { address: options.sshAddress }),
          ...(kube === undefined ? {} : { kube_listen: kube }),
        }),
        { after: welcomed },
      ),
      ...(node === null
        ? []
        : [
            start(
              'agent',
              (): AgentConfig => ({
                ...member('agent', sub('agent')),
                token: tokens.get('agent')!.token,
                listen: agent!,
                ingest: ingestUrl,
                watch_logins: options.watchLogins,
              }),
              { after: welcomed },
            ),
          ]),
    ];
    await Promise.all(admitting.map(({ ready }) => ready));
    await start('store', (): StoreProcessConfig => {
      const objects = options.objects === undefined ? {} : { objects: options.objects };
      return {
        ingest: {
          ...member('ingest', storeData),
          listen: ingest!,
          repack: true,
          ...objects,
          ...(options.events === undefined ? {} : { events: { url: options.events, database: 'steno', username: 'default' } }),
        },
        viewer: {
          ...member('viewer', storeData),
          listen: web,
          address: page,
          ssh: reached,
          proxies: [...options.webProxies],
          ingest: [ingestUrl],
        },
        ...(options.analyzer
          ? {
              analyzer: {
                ...member('analyzer', storeData),
                ingest: [ingestUrl],
                built_in_rules: true,
                trackers: [],
                look_back: '7d',
                ...(options.rules === undefined ? {} : { rules: resolve(options.rules) }),
                ...(options.siem === undefined ? {} : { siem: resolve(options.siem) }),
              },
            }
          : {}),
        tokens: {
          ingest: tokens.get('ingest')!.token,
          viewer: tokens.get('viewer')!.token,
          analyzer: tokens.get('analyzer')!.token,
        },
      };
    }).ready;
    const run: RunFile = {
      version: options.version,
      pid: process.pid,
      started_at: Date.now(),
      data: dir.path,
      ssh: reached,
      web: page,
      tunnel: options.tunnelAddress ?? tunnel,
      authority: authorityUrl,
      ingest: ingestUrl,
      socket: dir.socket,
      node,
      fips: options.fips,
      processes: pidsOf(stages),
    };
    writeRunFile(dir, run);
    for (const stage of stages.values()) stage.onRestart(() => writeRunFile(dir, { ...run, processes: pidsOf(stages) }));
    return { run: { ...run, node_login: userInfo().username }, data: dir.path, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function serviceToken(socket: string, kind: TokenKind, name: string): Promise<ServiceTokenCreated> {
  return call(overSocket(socket), createServiceToken, { body: { kind, name, ttl_ms: TOKEN_TTL_MS } });
}

/** Browsers do passkeys for names only, so loopback is called by its name. */
function pageAddress(listen: string): string {
  const { host, port } = requireHostPort(listen);
  const loopback = host === '127.0.0.1' || host === '::1';
  return `http://${formatHostPort({ host: loopback ? 'localhost' : host, port })}`;
}

function pidsOf(stages: ReadonlyMap<string, Stage>): Record<string, number> {
  return Object.fromEntries([...stages.values()].flatMap(({ name, pid }) => (pid === undefined ? [] : [[name, pid]])));
}

/** A machine whose own name no node can have is called `node`. */
export function nodeName(wanted: string | null): string {
  const name = wanted ?? hostname().toLowerCase().split('.')[0]!;
  if (wanted !== null && !isName(name)) throw new StenoError('USAGE', `"${wanted}" is no node name`);
  const reserved = isLoopbackHost(name);
  if (wanted !== null && reserved) throw new StenoError('NODE_NAME_RESERVED', wanted);
  return isName(name) && !reserved ? name : 'node';
}

/** Processes that a `steno up` which was killed has left: they drain by themselves and must not be met half gone. */
function processesOf(dir: DataDir): readonly number[] {
  try {
    return Object.values((JSON.parse(readFileSync(dir.runFile, 'utf8')) as RunFile).processes);
  } catch {
    return [];
  }
}

async function outlive(pids: readonly number[], log: Log): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (const pid of pids) {
    while (isOurs(pid)) {
      if (Date.now() > deadline) {
        log.warn({ pid }, 'a stage of an earlier run does not end; killing it');
        process.kill(pid, 'SIGKILL');
      }
      await sleep(50);
    }
  }
}

function isOurs(pid: number): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.some((word) => /\/(authority|gateway|agent)\/main\.js$|\/store-process\.js$/.test(word));
  } catch {
    return false;
  }
}
