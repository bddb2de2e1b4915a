/**
 * One Steno and one plain sshd for all peers. The sshd has a CA of its own, made with ssh-keygen, for users and for its host key.
 * Every peer is a user of its own at Steno, so that its sessions are found by name.
 */
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from '#runtime/http/free-port.js';
import type { SessionInfo, SessionList } from '#schemas/api/recordings/sessions.js';
import { openClient } from '../../cli/client/client.js';
import { openHome } from '../../cli/client/home.js';
import { background, echoServer, isOver, must, viewerOf } from '../end-to-end/client-tools.js';
import type { Background, Viewer } from '../end-to-end/client-tools.js';
import { Steno, eventually } from '../end-to-end/machine.js';
import { openAuthorities, person } from '../end-to-end/people.js';
import { sshdPath, startStockNode } from '../end-to-end/stock-node.js';
import type { Ca } from '../../authority/ca/ca.js';
import { recordingOf } from './recordings.js';
import type { Recording } from './recordings.js';
import { sshdConfig } from '#runtime/testing/sshd-config.js';

/** A server as one client sees it. */
export interface Server {
  readonly kind: 'plain' | 'steno';
  readonly host: string;
  readonly port: number;
  /** The user name that the client sends. */
  readonly user: string;
  readonly key: string;
  readonly authority: string;
  readonly hostKeys: string;
  readonly agent: string;
  /** For programs that take OpenSSH's options: the options that lead to `target`. */
  readonly options: readonly string[];
  readonly target: string;
  /** The same through a jump host: a configuration with the identity alone, the jump host, and the arguments that name the target behind it. */
  readonly identity: string;
  readonly jump: string;
  readonly behind: readonly string[];
}

export class Scene {
  readonly steno = new Steno();
  viewer!: Viewer;
  echo!: Awaited<ReturnType<typeof echoServer>>;
  bulk!: string;
  sample!: string;
  #ca!: Ca;
  #plainPort = 0;
  readonly #stops: (() => Promise<unknown>)[] = [];
  readonly #seen = new Set<string>();

  file(...names: readonly string[]): string {
    return join(this.steno.folder, ...names);
  }

  async start(): Promise<void> {
    const { steno } = this;
    this.bulk = this.file('bulk');
    this.sample = this.file('sample');
    writeFileSync(this.bulk, randomBytes(6_000_000));
    writeFileSync(this.sample, randomBytes(300_000));
    await Promise.all([steno.start(), this.#startPlain()]);
    await steno.json('login', '--data', steno.data);
    this.#ca = await openAuthorities(steno);
    this.viewer = viewerOf(steno);
    const [stock, echo] = await Promise.all([startStockNode(steno, 'stock'), echoServer()]);
    this.#stops.push(
      () => stock.stop(),
      () => echo.close(),
    );
    this.echo = echo;
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops.reverse()) await stop();
    await this.steno.dispose();
  }

  run(file: string, ...args: readonly string[]) {
    return must(this.steno.exec(file, args));
  }

  async #keyscan(port: number, file: string): Promise<void> {
    const { stdout } = await this.run('ssh-keyscan', '-p', String(port), '127.0.0.1');
    writeFileSync(file, stdout);
  }

  async #agent(socket: string, other: string, key: string): Promise<void> {
    const agent: Background = background(this.steno, 'ssh-agent', ['-D', '-a', socket]);
    this.#stops.push(() => agent.stop());
    await agent.until(/SSH_AUTH_SOCK/);
    for (const each of [other, key]) await must(this.steno.exec('ssh-add', ['-q', each], { env: { SSH_AUTH_SOCK: socket } }));
  }

  async #startPlain(): Promise<void> {
    const at = (name: string): string => this.file('plain', name);
    mkdirSync(at(''), { mode: 0o700 });
    mkdirSync('/run/sshd', { recursive: true });
    for (const name of ['user_ca', 'host_ca', 'host_ed25519', 'key', 'other'])
      await this.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', at(name));
    await this.run('ssh-keygen', '-q', '-t', 'ecdsa', '-N', '', '-f', at('host_ecdsa'));
    await this.run('ssh-keygen', '-q', '-t', 'rsa', '-b', '3072', '-N', '', '-f', at('host_rsa'));
    const hostKeys = ['ed25519', 'ecdsa', 'rsa'].map((type) => at(`host_${type}`));
    for (const key of hostKeys)
      await this.run(
        'ssh-keygen',
        '-q',
        '-s',
        at('host_ca'),
        '-I',
        'plain',
        '-h',
        '-n',
        '127.0.0.1,localhost',
        '-V',
        '-1h:+1d',
        `${key}.pub`,
      );
    await this.run('ssh-keygen', '-q', '-s', at('user_ca'), '-I', 'client', '-n', this.steno.login, '-V', '-1h:+1d', at('key.pub'));
    const port = await freePort();
    writeFileSync(
      at('sshd_config'),
      sshdConfig({ port, hostKeys: hostKeys.map((key) => ({ key, certificate: `${key}-cert.pub` })), userCas: at('user_ca.pub') }),
    );
    const child = spawn(sshdPath, ['-D', '-e', '-f', at('sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#stops.push(async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        if (said.length < 65_536) said += chunk.toString('utf8');
        if (said.includes('Server listening')) resolve();
      });
      child.once('exit', (code) => reject(new Error(`sshd ended with ${code}:\n${said}`)));
    });
    this.#plainPort = port;
    writeFileSync(at('known_hosts'), `@cert-authority [127.0.0.1]:${port},[localhost]:${port} ${readFileSync(at('host_ca.pub'), 'utf8')}`);
    await this.#keyscan(port, at('host_keys'));
    await this.#agent(at('agent'), at('other'), at('key'));
  }

  plain(): Server {
    const at = (name: string): string => this.file('plain', name);
    const config = at('ssh_config');
    const identity = this.#identity(at('identity'), at('key'), at('known_hosts'));
    writeFileSync(config, `Include ${identity}\nHost plain\n  HostName 127.0.0.1\n  Port ${this.#plainPort}\n  User ${this.steno.login}\n`);
    return {
      kind: 'plain',
      host: '127.0.0.1',
      port: this.#plainPort,
      user: this.steno.login,
      key: at('key'),
      authority: at('known_hosts'),
      hostKeys: at('host_keys'),
      agent: at('agent'),
      options: ['-F', config],
      target: 'plain',
      identity,
      // Under another name: `ssh` takes a jump host with the name of the target for a loop.
      jump: `${this.steno.login}@localhost:${this.#plainPort}`,
      behind: ['-p', String(this.#plainPort), `${this.steno.login}@127.0.0.1`],
    };
  }

  /** Steno as a user of this name sees it, with `node` as the target. */
  async as(name: string, node: string): Promise<Server> {
    const { home, config, steno } = await person(this.steno, this.#ca, name, ['admin'], [this.steno.login]);
    const at = (file: string): string => join(home, file);
    // The configuration that `steno config` writes; the command runs from `dist/`.
    writeFileSync(config, (await must(steno('config'))).stdout);
    const [host, port] = this.steno.run.ssh.split(':') as [string, string];
    copyFileSync(this.file('plain', 'other'), at('other'));
    copyFileSync(this.file('plain', 'other.pub'), at('other.pub'));
    await this.#keyscan(Number(port), at('host_keys'));
    await this.#agent(at('agent'), at('other'), at('id_ed25519'));
    return {
      kind: 'steno',
      host,
      port: Number(port),
      user: `${this.steno.login}@${node}`,
      key: at('id_ed25519'),
      authority: at('known_hosts'),
      hostKeys: at('host_keys'),
      agent: at('agent'),
      options: ['-F', config],
      target: `${this.steno.login}@${node}.steno`,
      identity: this.#identity(at('identity'), at('id_ed25519'), at('known_hosts')),
      jump: `${this.steno.login}@${host}:${port}`,
      behind: [`${this.steno.login}@${node}`],
    };
  }

  /** An `ssh_config` with the identity and known hosts alone. */
  #identity(file: string, key: string, knownHosts: string): string {
    writeFileSync(
      file,
      `IdentityFile ${key}\nCertificateFile ${key}-cert.pub\nIdentitiesOnly yes\nUserKnownHostsFile ${knownHosts}\nStrictHostKeyChecking yes\nBatchMode yes\n`,
    );
    return file;
  }

  /** The recordings of a user that were not returned before, oldest first, once there are `count` and all sessions are over. */
  async recordings(user: string, count: number): Promise<readonly Recording[]> {
    const client = openClient(openHome(this.steno.env));
    const fresh = async (): Promise<readonly SessionInfo[]> =>
      ((await client.viewer('GET', `/api/sessions?limit=200&user=${user}`)) as SessionList).sessions
        .filter(({ id }) => !this.#seen.has(id))
        .reverse();
    const rows = await eventually(fresh, (all) => all.length >= count && all.every(isOver));
    for (const { id } of rows) this.#seen.add(id);
    return Promise.all(rows.map((row) => recordingOf(this.viewer, row)));
  }
}
