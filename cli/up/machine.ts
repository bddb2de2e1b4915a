/**
 * One machine's Steno: which stage starts when, with which configuration.
 *
 *  1 lock the data directory, check Node, binding, disk and ports: nothing has started when one of them fails
 *  2 authority                   its socket admits only the owner of the machine
 *  3 store: ingest and viewer    one process, because a chDB directory belongs to one
 *  4 gateway                     own process, so that a heavy query never delays a keystroke
 *  5 agent                       this machine as a node
 *  6 run.json                    says that all of it is ready
 *
 * Closing goes 5, 4, 3, 2: sessions end first and what they leave is still stored. Tested end to end in test/.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { StenoError } from '#schemas/errors.js';
import { isName } from '#schemas/identity.js';
import { enterFips } from '#runtime/fips.js';
import type { Log } from '#runtime/log.js';
import { sshBindingAvailable } from '#runtime/ssh/native-binding.js';
import type { SignerConfig } from '../../authority/ca/signer-config.js';
import { checkDisk, lockDataDir, writeRunFile } from '../data-dir.js';
import type { DataDir, RunFile } from '../data-dir.js';
import { splitAddress } from '../home.js';
import { requireNodeVersion } from '../verbs/status.js';
import { reserve } from './ports.js';
import { startStage } from './supervisor.js';
import type { Stage } from './supervisor.js';

const DEFAULT_TUNNEL_PORT = 8024;

export interface MachineOptions {
  readonly dir: DataDir;
  readonly version: string;
  readonly sshListen: string;
  readonly webListen: string;
  /** How people reach the page; null: by the name of this machine's loopback. */
  readonly webAddress: string | null;
  readonly webProxies: readonly string[];
  readonly tunnelListen: string | undefined;
  readonly tunnelAddress: string | undefined;
  readonly objects: string | undefined;
  /** `postgres://…`; SQLite when left out. */
  readonly state: string | undefined;
  readonly sealKey: string | undefined;
  /** `main` when left out. */
  readonly cluster: string | undefined;
  readonly sealPassphrase: string | undefined;
  readonly caSigner: SignerConfig | undefined;
  /** Only approved algorithms, in every stage. */
  readonly fips: boolean;
  /** Name of this machine as a node; null: its host name; false: no node. */
  readonly node: string | null | false;
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
  const stages: Stage[] = [];
  const close = async (): Promise<void> => {
    for (const stage of stages.toReversed()) await stage.close();
    unlock();
  };
  try {
    await outlive(orphans, log);
    const ssh = await reserve(options.sshListen, '--ssh-listen');
    const { host, port } = splitAddress(options.sshListen);
    const tunnel = await reserve(
      options.tunnelListen ?? `${host.includes(':') ? `[${host}]` : host}:${port === 0 ? 0 : DEFAULT_TUNNEL_PORT}`,
      '--tunnel-listen',
    );
    const web = await reserve(options.webListen, '--web-listen');
    const [authority, ingest, agent] = await Promise.all(['authority', 'ingest', 'agent'].map((name) => reserve('127.0.0.1:0', name)));
    const sub = (name: string): string => {
      const path = join(dir.path, name);
      mkdirSync(path, { recursive: true, mode: 0o700 });
      return path;
    };
    const logs = sub('logs');
    const start = async (name: string, module: string, config: object): Promise<void> => {
      progress(`starting ${name} …`);
      stages.push(
        await startStage(
          {
            name,
            module: fileURLToPath(new URL(module, import.meta.url)),
            config: { ...config, version: options.version, fips: options.fips },
            logFile: join(logs, `${name}.log`),
          },
          log,
        ),
      );
    };
    const page = options.webAddress ?? pageAddress(web);
    const authorityUrl = `https://${authority!}`;
    const ingestUrl = `wss://${ingest!}`;
    await start('authority', '../../authority/main.js', {
      dataDir: dir.path,
      listen: authority,
      socket: dir.socket,
      name: 'main',
      ingest: `${ingestUrl}/uplink`,
      web: page,
      ...(options.state === undefined ? {} : { state: { kind: 'postgres', url: options.state } }),
      ...(options.sealKey === undefined ? {} : { sealKey: resolve(options.sealKey) }),
      ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
      ...(options.sealPassphrase === undefined ? {} : { sealPassphrase: options.sealPassphrase }),
      ...(options.caSigner === undefined ? {} : { caSigner: options.caSigner }),
    });
    const services = { socket: dir.socket, authority: authorityUrl };
    await start('store', './store-process.js', {
      ...services,
      dataDir: sub('store'),
      objects: options.objects ?? null,
      ingestListen: ingest,
      webListen: web,
      webRoot: fileURLToPath(new URL('../../web/', import.meta.url)),
      addresses: { ssh, web: page, authority: authorityUrl },
      webProxies: options.webProxies,
    });
    await start('gateway', '../../gateway/main.js', {
      ...services,
      dataDir: sub('gateway'),
      listen: ssh,
      name: 'local',
      ingest: ingestUrl,
      tunnelListen: tunnel,
      ...(options.tunnelAddress === undefined ? {} : { tunnelAddress: options.tunnelAddress }),
    });
    if (node !== null)
      await start('agent', '../../agent/main.js', { ...services, dataDir: sub('agent'), listen: agent, name: node, ingest: ingestUrl });
    const run: RunFile = {
      version: options.version,
      pid: process.pid,
      started_at: Date.now(),
      data: dir.path,
      ssh,
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
    for (const stage of stages) stage.onRestart(() => writeRunFile(dir, { ...run, processes: pidsOf(stages) }));
    return { run: { ...run, node_login: userInfo().username }, data: dir.path, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Browsers do passkeys for names only, so loopback is called by its name. */
function pageAddress(listen: string): string {
  const { host, port } = splitAddress(listen);
  const loopback = host === '127.0.0.1' || host === '::1';
  return `http://${loopback ? 'localhost' : host.includes(':') ? `[${host}]` : host}:${port}`;
}

function pidsOf(stages: readonly Stage[]): Record<string, number> {
  return Object.fromEntries(stages.flatMap(({ name, pid }) => (pid === undefined ? [] : [[name, pid]])));
}

function nodeName(wanted: string | null): string {
  const name = wanted ?? hostname().toLowerCase().split('.')[0]!;
  if (isName(name)) return name;
  if (wanted !== null) throw new StenoError('USAGE', `"${wanted}" is no node name`);
  return 'localhost';
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
