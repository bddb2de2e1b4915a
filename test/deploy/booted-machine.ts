/**
 * This machine's own system, booted a second time by systemd in a container. Its writes go to memory and are lost when it ends.
 *
 * systemd-nspawn(1) on a bind mount of `/` with a volatile overlay, in a network namespace that can only dial out
 * (../agent/namespace.ts). Only what the basic target pulls in is started. Steno is at /opt/steno.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Namespace, whyNoNamespace } from '../agent/namespace.js';
import { bin, eventually } from '../end-to-end/machine.js';
import type { Result } from '../end-to-end/machine.js';

const repository = dirname(dirname(bin));
/** A bind mount of `/` in nspawn's mount namespace, because nspawn refuses `/` itself. */
const enter = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', 'mount --bind / "$0" && exec systemd-nspawn "$@"'] as const;
const quiet = ['--quiet', '--volatile=overlay', '--register=no', '--keep-unit', '--link-journal=no'] as const;

/** Why this machine cannot boot one, or null. */
export function whyNoMachine(): string | null {
  const missing = ['systemd-nspawn', '/lib/systemd/systemd'].filter(
    (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
  );
  if (missing.length > 0) return `booting a machine needs ${missing.join(' and ')} (Debian: systemd, systemd-container)`;
  const why = whyNoNamespace();
  if (why !== null) return why;
  const folder = mkdtempSync(join(tmpdir(), 'steno-boot-'));
  try {
    const [file, ...args] = enter;
    const { status, stderr } = spawnSync(file, [...args, folder, '-D', folder, ...quiet, '--pipe', 'true'], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    return status === 0 ? null : `no container can be started: ${stderr.trim().split('\n').at(-1) ?? ''}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export class BootedMachine {
  readonly space: Namespace;
  readonly #folder: string;
  readonly #nspawn: ChildProcess;
  #said = '';
  #init = 0;

  private constructor(n: number) {
    this.space = new Namespace(n);
    this.#folder = mkdtempSync(join(tmpdir(), 'steno-boot-'));
    const [file, ...args] = enter;
    this.#nspawn = spawn(
      file,
      [
        ...args,
        this.#folder,
        '-D',
        this.#folder,
        ...quiet,
        '--boot',
        '--console=pipe',
        `--machine=${this.space.name}`,
        `--network-namespace-path=/run/netns/${this.space.name}`,
        `--bind-ro=${repository}:/opt/steno`,
        `--bind-ro=${process.execPath}:/usr/local/bin/node`,
        // Start-up files of root's shells on this machine must not affect the test.
        '--tmpfs=/root',
        // Kernel events need these rights, which a real machine has.
        '--capability=CAP_BPF,CAP_PERFMON',
        '--system-call-filter=bpf perf_event_open @keyring',
        'systemd.unit=basic.target',
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [this.#nspawn.stdout!, this.#nspawn.stderr!])
      stream.on('data', (chunk: Buffer) => {
        this.#said += chunk.toString('utf8');
      });
  }

  static async boot(n: number): Promise<BootedMachine> {
    const machine = new BootedMachine(n);
    try {
      await eventually(
        async () => {
          if (machine.#nspawn.exitCode !== null) throw new Error(`the machine did not boot:\n${machine.#said}`);
          machine.#init = machine.#findInit();
          return machine.#init === 0 ? '' : (await machine.run('systemctl', 'is-system-running')).stdout;
        },
        (state) => /^(running|degraded)/.test(state),
        60_000,
      );
      return machine;
    } catch (error) {
      await machine.dispose();
      throw error;
    }
  }

  /** Runs a program in the container, as root. */
  run(...words: readonly string[]): Promise<Result> {
    return new Promise((resolve) => {
      const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root', LANG: 'C.UTF-8' };
      execFile(
        'nsenter',
        ['--target', String(this.#init), '--all', '--', ...words],
        { env, encoding: 'utf8', maxBuffer: 64 << 20 },
        (error, stdout, stderr) => {
          resolve({ status: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
        },
      );
    });
  }

  /** Resolves with the program's output; rejects if it fails. */
  async must(...words: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...words);
    if (status !== 0)
      throw new Error(
        `${words.join(' ')}: ${status}\n${stdout}${stderr}\n${(await this.run('journalctl', '--no-pager', '-n', '40')).stdout}`,
      );
    return stdout;
  }

  async write(path: string, text: string, mode = '644'): Promise<void> {
    await this.must('sh', '-c', 'mkdir -p "$(dirname "$1")" && printf %s "$2" > "$1" && chmod "$3" "$1"', 'sh', path, text, mode);
  }

  async dispose(): Promise<void> {
    if (this.#nspawn.exitCode === null && this.#nspawn.signalCode === null) {
      const gone = once(this.#nspawn, 'exit');
      // Killing its init loses nothing: the container has no state to keep.
      if (this.#init !== 0) process.kill(this.#init, 'SIGKILL');
      else this.#nspawn.kill('SIGKILL');
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
    this.space.dispose();
  }

  /** unshare and sh become nspawn; its child is the first process of the machine. */
  #findInit(): number {
    const children = readFileSync(`/proc/${this.#nspawn.pid}/task/${this.#nspawn.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter((pid) => pid !== '')
      .map(Number);
    return children.find((pid) => /^systemd$|^init$/.test(commandOf(pid))) ?? 0;
  }
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return '';
  }
}
