/**
 * A small but complete Steno for the gateway's tests: CA keys, a stock sshd as the node, a gateway, user certificates, and stock
 * clients. Everything listens on 127.0.0.1 and lives in one temporary folder; `close()` stops what was started.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { TrustedCluster } from '#schemas/documents/cluster.js';
import type { KubeClusterRecord } from '#schemas/kube/kube-cluster.js';
import type { Grant } from '#schemas/documents/access-request.js';
import { StenoError } from '#schemas/base/errors.js';
import type { SessionConfirmationRequest } from '#schemas/api/people/confirmations.js';
import type { SessionCertificateRequest, UserProof } from '#schemas/api/services/certificates.js';
import type { SessionInvitation } from '#schemas/documents/session-invitation.js';
import type { Lock } from '#schemas/documents/lock.js';
import type { Snapshot } from '#schemas/snapshot.js';
import { EXTENSION_ROLES, EXTENSION_USER, OPENSSH_EXTENSIONS, OPTION_GATEWAY_ONLY } from '#schemas/base/identity.js';
import { roleSchema } from '#schemas/policy/role.js';
import type { NodeRecord, Role } from '#schemas/policy/role.js';
import type { SessionNotice } from '#schemas/session-notice.js';
import type { PlaceReport, PlaceRequest } from '#schemas/session-place.js';
import { diffSnapshots, ordered } from '#schemas/watch.js';
import { parseCertificate } from '#schemas/ssh/certificate.js';
import type { CertificateFields } from '#schemas/ssh/certificate.js';
import { formatPublicLine, parseAuthorizedLine } from '#schemas/ssh/public-key.js';
import { userAuthData, userAuthRequest } from '#schemas/ssh/user-auth.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import type { SshPrivateKey } from '#runtime/ssh/keys.js';
import { provesPossession } from '#runtime/ssh/possession.js';
import type { Log } from '#runtime/log.js';

import type { Authority } from '../sessions/authority.js';
import type { ListenerLimits } from '../edge/admissions.js';
import { observeStream } from '../streams/protocols.js';
import type { Recorder } from '../recorder/recorder.js';
import { startGateway } from '../gateway.js';
import type { RunningGateway } from '../gateway.js';
import { LineRecorder } from './line-recorder.js';
import { startTunnel } from './tunnelled.js';
import { freePort } from '#runtime/http/free-port.js';

const seconds = (): number => Math.floor(Date.now() / 1000);

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface World {
  readonly directory: string;
  readonly port: number;
  readonly recorder: LineRecorder;
  readonly authority: TestAuthority;
  readonly gateway: RunningGateway;
  readonly node: NodeRecord;
  /** File for `-F`: hosts `gw` and `node-1`, and `*.steno` through the gateway. */
  readonly sshConfig: string;
  /** Writes key and certificate files; returns the path of the key. */
  userKey(name: string, change?: Partial<CertificateFields>, ca?: SshPrivateKey): string;
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Finished>;
  start(command: string, args: readonly string[], options?: RunOptions): ChildProcess;
  close(): Promise<void>;
}

export interface RunOptions {
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

let way: 'direct' | 'tunnel' = 'direct';
/** How worlds that are opened from now on reach their node. */
export function setWay(wanted: typeof way): void {
  way = wanted;
}

/** Implements the authority's contract with local CA keys. */
export class TestAuthority implements Authority {
  readonly userCa = generateKey();
  readonly hostCa = generateKey();
  roles: Role[] = [roleSchema.parse({ kind: 'role', name: 'admin', allow: { nodes: { '*': '*' }, logins: ['root', 'nobody', '*'] } })];
  nodes: NodeRecord[] = [];
  locks: Lock[] = [];
  notices: readonly SessionNotice[] = [];
  invitations: readonly SessionInvitation[] = [];
  clusters: TrustedCluster[] = [];
  kubeClusters: KubeClusterRecord[] = [];
  grants: Grant[] = [];
  available = true;
  readonly #callbacks = new Set<Parameters<Authority['onChange']>[0]>();
  #version = 0;
  /** The snapshot that was published last. */
  #published: Snapshot | undefined;
  #serial = 0n;

  current(): Snapshot {
    if (!this.available) throw new StenoError('NOT_RUNNING');
    const line = (key: SshPrivateKey): string => formatPublicLine(key.publicBlob);
    const none = {
      recording_ca: [],
      recording_ca_retired: [],
      x509_user_ca: [],
      service_ca: [],
      signing: { ssh_host: line(this.hostCa), recording: '', service: '', authority: '' },
    };
    return {
      version: this.#version,
      ssh_user_ca: [line(this.userCa)],
      ssh_host_ca: [line(this.hostCa)],
      ...none,
      roles: this.roles,
      nodes: this.nodes,
      locks: this.locks,
      notices: this.notices,
      invitations: this.invitations,
      grants: this.grants,
      void_grants: [],
      removed_services: [],
      names_since: {},
      own_since: {},
      cluster: 'main',
      clusters: this.clusters,
      kube_clusters: this.kubeClusters,
    };
  }

  onChange(callback: Parameters<Authority['onChange']>[0]): () => void {
    this.#published ??= structuredClone(ordered(this.current()));
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  changed(): void {
    this.#version++;
    const before = this.#published;
    const after = ordered(this.current());
    this.#published = structuredClone(after);
    const delta = before === undefined ? null : diffSnapshots(before, after);
    for (const callback of this.#callbacks) callback(delta);
  }

  /** The proofs that session certificate requests contained. */
  readonly proofs: UserProof[] = [];

  async sessionCertificate({ public_key, login, user, confirmation, user_certificate, proof }: SessionCertificateRequest): Promise<string> {
    this.proofs.push(proof);
    // Checks like the real authority: refuses everything that it would refuse.
    const blob = Buffer.from(user_certificate, 'base64');
    const hostKey = proof.host_key === undefined ? null : Buffer.from(proof.host_key, 'base64');
    const data = userAuthData(
      Buffer.from(proof.session_id, 'base64'),
      userAuthRequest({ userName: proof.user_name, algorithm: proof.algorithm, publicKey: blob, hostKey }),
    );
    if (
      !provesPossession(parseCertificate(blob), {
        key: { algo: proof.algorithm },
        signature: Buffer.from(proof.signature, 'base64'),
        blob: data,
      })
    )
      throw new StenoError('USER_PROOF_REFUSED');
    if (confirmation !== undefined) this.confirmations.push(confirmation);
    return formatPublicLine(
      this.userCertificate(Buffer.from(parseAuthorizedLine(public_key).blob), {
        principals: [login],
        criticalOptions: new Map(),
        keyId: `${user} via gateway`,
      }),
    );
  }

  /** The user's answer to a question for a second factor; set by tests. */
  confirmed: (url: string) => Promise<boolean> = async () => false;
  /** The approvals that requests contained. */
  readonly confirmations: string[] = [];

  async confirmSession({ node, login }: SessionConfirmationRequest, shown: (url: string) => void): Promise<string> {
    const url = `http://steno.invalid/confirm#${login}.${node}`;
    shown(url);
    if (!(await this.confirmed(url))) throw new StenoError('SESSION_UNCONFIRMED', 'it was denied in the browser');
    return url;
  }

  /** The authority's answer to a request for a slot: granted unless a test sets another. */
  placed: (request: PlaceRequest) => Promise<boolean> = async () => true;
  /** Reports about slots without a limit. */
  readonly told: PlaceReport[] = [];

  takePlace(request: PlaceRequest): Promise<boolean> {
    return this.placed(request);
  }

  async tellPlaces(report: PlaceReport): Promise<boolean> {
    this.told.push(report);
    return true;
  }

  async hostCertificate(publicKey: string, name: string, own?: string): Promise<string> {
    if (own !== undefined)
      return formatPublicLine(
        this.issueHost(Buffer.from(parseAuthorizedLine(publicKey).blob), parseCertificate(parseAuthorizedLine(own).blob).principals),
      );
    return formatPublicLine(this.issueHost(Buffer.from(parseAuthorizedLine(publicKey).blob), [name, `${name}.steno`]));
  }

  issueHost(publicKey: Buffer, principals: readonly string[]): Buffer {
    return issueCertificate(this.hostCa, {
      publicKey,
      serial: ++this.#serial,
      kind: 'host',
      keyId: principals[0]!,
      principals,
      validAfter: BigInt(seconds() - 60),
      validBefore: BigInt(seconds() + 3600),
      criticalOptions: new Map(),
      extensions: new Map(),
    });
  }

  userCertificate(publicKey: Buffer, change: Partial<CertificateFields> = {}, ca = this.userCa): Buffer {
    return issueCertificate(ca, {
      publicKey,
      serial: ++this.#serial,
      kind: 'user',
      keyId: 'alice',
      principals: ['root', 'nobody'],
      validAfter: BigInt(seconds() - 60),
      validBefore: BigInt(seconds() + 3600),
      criticalOptions: new Map([[OPTION_GATEWAY_ONLY, '']]),
      extensions: new Map([
        ...OPENSSH_EXTENSIONS.map((name) => [name, ''] as const),
        [EXTENSION_USER, 'alice'],
        [EXTENSION_ROLES, 'admin'],
      ]),
      ...change,
    });
  }
}

export async function openWorld(
  options: {
    readonly limits?: ListenerLimits;
    readonly keepBytes?: boolean;
    readonly sshd?: string;
    readonly sshdEnv?: Readonly<Record<string, string>>;
    readonly now?: () => number;
    readonly log?: Log;
    readonly moreHostKeys?: readonly SshPrivateKey[];
    readonly recorderIn?: (folder: string) => Promise<Recorder>;
  } = {},
): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'steno-gateway-'));
  chmodSync(directory, 0o755);
  const recordings = join(directory, 'recordings');
  mkdirSync(recordings);
  const authority = new TestAuthority();
  const recorder = new LineRecorder(recordings, options.keepBytes);
  const sshd = await startSshd(directory, authority, options.sshd ?? '', options.sshdEnv);
  const tunnel = way === 'tunnel' ? await startTunnel(sshd.node) : undefined;
  const node: NodeRecord = tunnel === undefined ? sshd.node : { ...sshd.node, kind: 'agent', tunnel_key: '0'.repeat(64) };
  authority.nodes = [node];
  const hostKey = generateKey();
  const gateway = await startGateway(
    { name: 'gw', listen: '127.0.0.1:0' },
    {
      authority,
      recorder: (await options.recorderIn?.(recordings)) ?? recorder,
      observe: observeStream,
      hostKey,
      moreHostKeys: options.moreHostKeys ?? [],
      hostCertificate: () => authority.issueHost(hostKey.publicBlob, ['gw', '127.0.0.1']),
      log: options.log ?? pino({ level: 'silent' }),
      now: options.now ?? Date.now,
      ...(options.limits === undefined ? {} : { limits: options.limits }),
      ...(tunnel === undefined ? {} : { openTunnel: tunnel.open }),
    },
  );
  const port = Number(gateway.addresses['ssh']!.split(':').at(-1));
  const processes = new Set<ChildProcess>();
  const keys = new Map<string, SshPrivateKey>();
  const userKey: World['userKey'] = (name, change, ca) => {
    const key = keys.get(name) ?? generateKey();
    keys.set(name, key);
    const path = join(directory, name);
    writeFileSync(path, key.toOpenSsh(), { mode: 0o600 });
    writeFileSync(`${path}.pub`, `${formatPublicLine(key.publicBlob)}\n`);
    writeFileSync(`${path}-cert.pub`, `${formatPublicLine(authority.userCertificate(key.publicBlob, change, ca))}\n`);
    return path;
  };
  const alice = userKey('alice');
  writeFileSync(join(directory, 'known_hosts'), `@cert-authority * ${formatPublicLine(authority.hostCa.publicBlob)}\n`);
  const sshConfig = join(directory, 'ssh_config');
  const common = `  IdentityFile ${alice}\n  CertificateFile ${alice}-cert.pub\n  IdentitiesOnly yes\n  UserKnownHostsFile ${directory}/known_hosts\n  GlobalKnownHostsFile none\n  BatchMode yes\n  StrictHostKeyChecking yes\n`;
  writeFileSync(
    sshConfig,
    `Host gw\n  HostName 127.0.0.1\n  Port ${port}\n  HostKeyAlias gw\n  User alice\n${common}Host *.steno node-* nowhere\n  ProxyJump gw\n${common}`,
  );

  const start: World['start'] = (command, args, { input, env, cwd } = {}) => {
    const child = spawn(command, args, {
      cwd: cwd ?? directory,
      env: { ...process.env, HOME: directory, ...env } as NodeJS.ProcessEnv,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    processes.add(child);
    child.once('close', () => processes.delete(child));
    child.stdin.on('error', () => undefined);
    if (input !== undefined) child.stdin.end(input);
    return child;
  };
  const world: World = {
    directory,
    port,
    recorder,
    authority,
    gateway,
    node,
    sshConfig,
    userKey,
    start,
    run: async (command, args, run = {}) => {
      const child = start(command, args, { input: '', ...run });
      const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
      child.stdout!.on('data', (data: Buffer) => stdout.push(data));
      child.stderr!.on('data', (data: Buffer) => stderr.push(data));
      const [status] = (await once(child, 'close')) as [number | null];
      return { status, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
    },
    close: async () => {
      for (const child of processes) child.kill('SIGKILL');
      await gateway.close();
      tunnel?.close();
      await sshd.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
  return world;
}

/** A stock sshd on a free loopback port, with its files in `directory`; `extra`: additional configuration lines. */
export async function startSshd(
  directory: string,
  authority: TestAuthority,
  extra: string,
  env: Readonly<Record<string, string>> = {},
  name = 'node-1',
): Promise<{ readonly node: NodeRecord; log(): string; stop(): Promise<void> }> {
  const key = generateKey();
  const keyPath = join(directory, 'host_key');
  writeFileSync(keyPath, key.toOpenSsh(), { mode: 0o600 });
  writeFileSync(`${keyPath}-cert.pub`, `${formatPublicLine(authority.issueHost(key.publicBlob, [name]))}\n`);
  writeFileSync(join(directory, 'user_ca.pub'), `${formatPublicLine(authority.userCa.publicBlob)}\n`);
  const port = await freePort();
  const config = join(directory, 'sshd_config');
  writeFileSync(
    config,
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${keyPath}`,
      `HostCertificate ${keyPath}-cert.pub`,
      `TrustedUserCAKeys ${directory}/user_ca.pub`,
      `PidFile ${directory}/sshd.pid`,
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'UsePAM no',
      'PermitRootLogin yes',
      'StrictModes no',
      'MaxStartups 500',
      'MaxSessions 100',
      'AcceptEnv LC_* STENO_*',
      'AllowAgentForwarding yes',
      'AllowTcpForwarding yes',
      'AllowStreamLocalForwarding yes',
      'X11Forwarding yes',
      'Subsystem sftp internal-sftp',
      'UseDNS no',
      extra,
      '',
    ].join('\n'),
  );
  if (!existsSync('/run/sshd')) mkdirSync('/run/sshd', { mode: 0o755 });
  const child = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  let log = '';
  child.stderr.on('data', (data: Buffer) => {
    log += data.toString();
  });
  await answers(
    port,
    () => child.exitCode !== null,
    () => log,
  );
  return {
    node: { name, kind: 'openssh', address: `127.0.0.1:${port}`, labels: { env: 'trial' }, host_keys: [], last_seen_at: null },
    log: () => log,
    stop: async () => {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
    },
  };
}

/** Resolves when a server answers on the port. */
export async function answers(port: number, gone: () => boolean, log: () => string): Promise<void> {
  while (!gone()) {
    const socket = connect(port, '127.0.0.1');
    const open = await new Promise<boolean>((resolve) =>
      socket
        .once('data', () => resolve(true))
        .once('connect', () => undefined)
        .once('error', () => resolve(false))
        .once('close', () => resolve(false)),
    );
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`sshd is gone: ${log()}`);
}
