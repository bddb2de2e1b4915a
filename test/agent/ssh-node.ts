/** The SSH service of a node, with CAs of the test's own, and stock clients that hold session certificates for it. */
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EXTENSION_VIA, nodePrincipal } from '#schemas/base/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { issueCertificate } from '#runtime/ssh/issue.js';
import { generateKey } from '#runtime/ssh/keys.js';
import { startSshService } from '../../agent/ssh/ssh-service.js';
import type { ListeningSshService, SshServiceParts } from '../../agent/ssh/ssh-service.js';
import { silent } from '../../authority/testing/authority.js';

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class SshNode {
  readonly folder = mkdtempSync(join(tmpdir(), 'steno-ssh-node-'));
  readonly #userCa = generateKey();
  readonly #hostCa = generateKey();
  #service: ListeningSshService | undefined;

  async start(parts: Partial<SshServiceParts> = {}): Promise<void> {
    const hostKey = generateKey();
    const hostCertificate = issueCertificate(this.#hostCa, {
      ...this.#fields(),
      publicKey: hostKey.publicBlob,
      kind: 'host',
      principals: ['node'],
      extensions: new Map(),
    });
    this.#service = await startSshService(
      { host: '127.0.0.1', port: 0 },
      {
        node: 'node',
        hostKey,
        hostCertificate: () => hostCertificate,
        userCas: () => [formatPublicLine(this.#userCa.publicBlob)],
        log: silent,
        clock: Date.now,
        kernel: null,
        ...parts,
      },
    );
    writeFileSync(join(this.folder, 'known_hosts'), `@cert-authority node ${formatPublicLine(this.#hostCa.publicBlob)}\n`);
  }

  async dispose(): Promise<void> {
    await this.#service?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Options for ssh, scp and sftp: a session certificate for `login`, as a gateway gets it. */
  as(login: string): readonly string[] {
    const key = generateKey();
    const certificate = issueCertificate(this.#userCa, {
      ...this.#fields(),
      publicKey: key.publicBlob,
      kind: 'user',
      principals: [nodePrincipal(login, 'node')],
      extensions: new Map([
        [EXTENSION_VIA, 'gw'],
        ['permit-port-forwarding', ''],
        ['permit-agent-forwarding', ''],
      ]),
    });
    const file = join(this.folder, `id-${login}`);
    rmSync(file, { force: true });
    writeFileSync(file, key.toOpenSsh(), { mode: 0o600 });
    writeFileSync(`${file}-cert.pub`, formatPublicLine(certificate));
    return [
      '-F',
      '/dev/null',
      '-o',
      'BatchMode=yes',
      '-o',
      `UserKnownHostsFile=${join(this.folder, 'known_hosts')}`,
      '-o',
      'StrictHostKeyChecking=yes',
      '-o',
      'HostKeyAlias=node',
      '-o',
      'IdentitiesOnly=yes',
      '-o',
      `Port=${this.#service!.address.split(':').at(-1)}`,
      '-i',
      file,
      '-o',
      `CertificateFile=${file}-cert.pub`,
      '-o',
      `User=${login}`,
    ];
  }

  ssh(login: string, ...args: readonly string[]): Promise<Ran> {
    return run('ssh', [...this.as(login), ...args.slice(0, -1), '127.0.0.1', ...args.slice(-1)]);
  }

  sftp(login: string, script: string): Promise<Ran> {
    return run('sftp', ['-q', '-b', '-', ...this.as(login), '127.0.0.1'], script);
  }

  /** Runs ssh in the background; the caller ends its input. */
  hold(login: string, ...args: readonly string[]): ChildProcessWithoutNullStreams {
    return spawn('ssh', [...this.as(login), ...args.slice(0, -1), '127.0.0.1', ...args.slice(-1)]);
  }

  #fields() {
    const now = BigInt(Math.floor(Date.now() / 1000));
    return { serial: 1n, keyId: 'test', validAfter: now - 60n, validBefore: now + 3600n, criticalOptions: new Map<string, string>() };
  }
}

export function run(file: string, args: readonly string[], input = ''): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(file, [...args], { maxBuffer: 64 << 20, encoding: 'utf8' }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
    });
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(input);
  });
}

/** Resolves with the match once the output matches; rejects with the output if the program ends first. */
export function until(child: ChildProcessWithoutNullStreams, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = '';
    const take = (chunk: Buffer): void => {
      text += chunk.toString();
      const match = pattern.exec(text);
      if (match === null) return;
      child.stdout.off('data', take);
      child.stderr.off('data', take);
      child.off('close', ended);
      resolve(match);
    };
    const ended = (): void => reject(new Error(`ended before ${pattern}:\n${text}`));
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('close', ended);
  });
}

/** A temporary account of this machine. Needs root. */
export class TestAccount {
  readonly name: string;

  constructor(suffix: string, shell = '/bin/bash') {
    this.name = `st${process.pid}${suffix}`;
    execFileSync('useradd', ['-m', '-s', shell, this.name], { stdio: 'pipe' });
  }

  get uid(): number {
    return Number(execFileSync('id', ['-u', this.name], { encoding: 'utf8' }));
  }

  change(file: 'chage' | 'usermod', ...args: readonly string[]): void {
    execFileSync(file, [...args, this.name], { stdio: 'pipe' });
  }

  /** Runs a program as this account. */
  run(...words: readonly string[]): Ran {
    const { status, stdout, stderr } = spawnSync('setpriv', ['--reuid', this.name, '--regid', this.name, '--init-groups', '--', ...words], {
      encoding: 'utf8',
      cwd: '/',
      env: { PATH: '/usr/bin:/bin' },
    });
    return { status: status ?? -1, stdout, stderr };
  }

  remove(): void {
    spawnSync('userdel', ['-r', '-f', this.name]);
  }
}
