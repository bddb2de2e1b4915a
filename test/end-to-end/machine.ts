/**
 * A whole Steno for a test: `steno up` as a user starts it, in a folder of its own, on free loopback ports, and a home folder
 * to log in with. Everything is real, and every process is stopped by its pid.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as pty from 'node-pty';

/** Works from the sources and from `dist/`. */
export const bin = fileURLToPath(
  ['../../bin/steno', '../../../bin/steno'].map((path) => new URL(path, import.meta.url)).find((url) => existsSync(fileURLToPath(url)))!,
);

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunInfo {
  readonly ssh: string;
  readonly web: string;
  readonly node: string;
  readonly processes: Readonly<Record<string, number>>;
}

export interface Terminal {
  /** All output so far. */
  readonly text: () => string;
  write(text: string): void;
  resize(cols: number, rows: number): void;
  /** Resolves once the output matches. Rejects with the output if the program ends first, or after 100 s, which is below the time limit of a test. */
  until(pattern: RegExp): Promise<string>;
  readonly ended: Promise<number>;
  kill(signal?: NodeJS.Signals): void;
}

export class Steno {
  readonly folder: string;
  readonly data: string;
  readonly env: NodeJS.ProcessEnv;
  /** Tests on one machine log in all the time, so only tests of logins watch for them. */
  watchLogins = false;
  #process: ChildProcess | undefined;
  #printed = '';
  readonly #program: string;

  /** `program`: the `steno` that runs the services and the commands. */
  constructor(program = bin) {
    this.#program = program;
    this.folder = mkdtempSync(join(tmpdir(), 'steno-e2e-'));
    this.data = join(this.folder, 'data');
    // A home of its own, so that files of the user who runs the tests have no effect.
    this.env = {
      PATH: process.env['PATH'],
      HOME: this.folder,
      LANG: 'C.UTF-8',
      TERM: 'xterm-256color',
      STENO_HOME: join(this.folder, 'home'),
      NODE_ENV: 'production',
    };
  }

  get printed(): string {
    return this.#printed;
  }

  get run(): RunInfo {
    return JSON.parse(readFileSync(join(this.data, 'run.json'), 'utf8')) as RunInfo;
  }

  /** The pid of `steno up` itself. */
  get pid(): number {
    if (this.#process?.pid === undefined) throw new Error('not started');
    return this.#process.pid;
  }

  get config(): string {
    return join(this.folder, 'home', 'ssh_config');
  }

  get login(): string {
    return userInfo().username;
  }

  start(...options: readonly string[]): Promise<void> {
    return this.startAs([], ...options);
  }

  /** `words`: a command prefix that runs a command as another user. */
  async startAs(words: readonly string[], ...options: readonly string[]): Promise<void> {
    const [file, ...args] = [...words, process.execPath, this.#program] as unknown as [string, ...string[]];
    const child = spawn(
      file,
      [
        ...args,
        'up',
        '--data',
        this.data,
        '--ssh-listen',
        '127.0.0.1:0',
        '--web-listen',
        '127.0.0.1:0',
        '--node-name',
        'local',
        ...(this.watchLogins ? [] : ['--no-watch-logins']),
        ...options,
      ],
      {
        env: this.env,
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.#process = child;
    this.#printed = '';
    await new Promise<void>((resolve, reject) => {
      const take = (chunk: Buffer): void => {
        this.#printed += chunk.toString('utf8');
        if (this.#printed.includes('steno sessions')) resolve();
      };
      child.stdout!.on('data', take);
      child.stderr!.on('data', take);
      child.once('exit', (code) => reject(new Error(`steno up ended with ${code}:\n${this.#printed}\n${this.logs()}`)));
    });
  }

  logs(): string {
    return ['authority', 'store', 'gateway', 'agent']
      .map((name) => join(this.data, 'logs', `${name}.log`))
      .filter((file) => existsSync(file))
      .map((file) => `== ${file}\n${readFileSync(file, 'utf8').split('\n').slice(-40).join('\n')}`)
      .join('\n');
  }

  /** Ends `steno up` with a signal and waits. Resolves with its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<number | null> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = once(child, 'exit') as Promise<[number | null]>;
    child.kill(signal);
    return (await gone)[0];
  }

  async dispose(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  steno(...args: readonly string[]): Promise<Result> {
    return this.exec(process.execPath, [this.#program, ...args]);
  }

  /** Runs `steno … --json` and parses its output. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { status, stdout, stderr } = await this.steno(...args, '--json');
    if (status !== 0 && stdout === '') throw new Error(`steno ${args.join(' ')}: ${status}\n${stderr}\n${this.logs()}`);
    return JSON.parse(stdout) as T;
  }

  ssh(...args: readonly string[]): Promise<Result> {
    return this.exec('ssh', ['-F', this.config, ...args]);
  }

  exec(
    file: string,
    args: readonly string[],
    options: { readonly input?: string | Buffer; readonly env?: NodeJS.ProcessEnv } = {},
  ): Promise<Result> {
    return new Promise((resolve) => {
      const child = execFile(
        file,
        [...args],
        { env: { ...this.env, ...options.env }, maxBuffer: 256 << 20, encoding: 'buffer' },
        (error, stdout, stderr) => {
          const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
          resolve({ status, stdout: stdout.toString('utf8'), stderr: stderr.toString('utf8') });
        },
      );
      child.stdin!.on('error', () => undefined);
      child.stdin!.end(options.input ?? '');
    });
  }

  terminal(
    file: string,
    args: readonly string[],
    size: { readonly cols: number; readonly rows: number } = { cols: 80, rows: 24 },
    env: Readonly<Record<string, string>> = {},
  ): Terminal {
    const child = pty.spawn(file, [...args], {
      ...size,
      cwd: this.folder,
      env: { ...this.env, ...env } as Record<string, string>,
      name: 'xterm-256color',
    });
    let text = '';
    let ended = false;
    const watchers = new Set<() => void>();
    const wake = (): void => {
      for (const watcher of watchers) watcher();
    };
    child.onData((data) => {
      text += data;
      wake();
    });
    const end = new Promise<number>((resolve) => {
      child.onExit(({ exitCode }) => {
        ended = true;
        resolve(exitCode);
        wake();
      });
    });
    return {
      text: () => text,
      write: (input) => child.write(input),
      resize: (cols, rows) => child.resize(cols, rows),
      ended: end,
      kill: (signal) => child.kill(signal),
      until: (pattern) =>
        new Promise((resolve, reject) => {
          const fail = (why: string): void => reject(new Error(`${why} ${pattern}:\n${text}\n${this.logs()}`));
          const limit = setTimeout(() => fail('100 s without'), 100_000).unref();
          const look = (): void => {
            if (pattern.test(text)) resolve(text);
            else if (ended) fail('ended before');
            else return;
            watchers.delete(look);
            clearTimeout(limit);
          };
          watchers.add(look);
          look();
        }),
    };
  }
}

/** Polls until the answer satisfies, for state of another process that no event announces. */
export async function eventually<T>(ask: () => Promise<T>, satisfied: (answer: T) => boolean, limitMs = 90_000): Promise<T> {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (satisfied(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`still not: ${String(JSON.stringify(answer)).slice(0, 2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export interface SessionRow {
  readonly id: string;
  readonly kind: string;
  readonly state: string;
  readonly user: string;
  readonly node: string;
  readonly login: string;
  readonly command: string;
  readonly tty: boolean;
  readonly exit_code: number | null;
}
