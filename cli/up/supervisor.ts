/**
 * Starts the stages of one machine as child processes and keeps them running.
 *
 *     child:  loading ──configured──► starting ──ready──► serving ──exit──► waiting (0.1 s, doubled to 5 s) ──► loading
 *                                        └──failed──► exiting ──exit──► waiting; the first time: the whole start fails with the child's error
 *
 * At most one process of a stage exists: a failed one must have exited before the next is forked, or be killed.
 * A child is told its configuration over IPC and gets the same one again when it is restarted, so addresses stay. At the
 * first start a child may have to wait for another stage (`after`): its program is loaded meanwhile.
 * When this process dies, the IPC channels close and the children drain by themselves. Tested in supervisor.test.ts and
 * test/survival/killed.test.ts.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { StenoError, isErrorCode } from '#schemas/base/errors.js';
import type { Log } from '#runtime/log.js';
import type { FromService, ToService } from '#runtime/service/process.js';

export interface StageOptions {
  readonly name: string;
  /** Path of the program. */
  readonly module: string;
  /** Asked once `after` has resolved. */
  readonly config: () => object;
  /** The log, which receives its standard error. */
  readonly logFile: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** The first configuration is sent once this resolves; where it rejects, the stage never starts and `ready` rejects alike. */
  readonly after?: Promise<unknown>;
  /** The program, where `forkStage` has been called already. */
  readonly program?: ChildProcess | undefined;
}

export interface Stage {
  readonly name: string;
  readonly addresses: Readonly<Record<string, string>>;
  readonly pid: number | undefined;
  /** Resolves when the stage serves for the first time; rejects with the stage's own error. */
  readonly ready: Promise<void>;
  /** Called after each restart, with the new process serving. */
  onRestart(callback: () => void): void;
  close(): Promise<void>;
}

const START_LIMIT_MS = 60_000;
/** How long a program that reported a failed start may take to exit. */
const EXIT_LIMIT_MS = 5_000;
const CLOSE_LIMIT_MS = 20_000;

/** A stage's program, which loads and then waits for its configuration: until then it has begun nothing, and may be killed. */
export function forkStage({ module, logFile, environment }: Pick<StageOptions, 'module' | 'logFile' | 'environment'>): ChildProcess {
  const logFd = openSync(logFile, 'a', 0o600);
  const program = fork(module, [], {
    stdio: ['ignore', logFd, logFd, 'ipc'],
    env: { ...process.env, ...environment },
    serialization: 'advanced',
  });
  closeSync(logFd);
  // It is told of where the stage is started.
  program.on('error', () => undefined);
  return program;
}

/** The caller closes the stage also when `ready` rejects. */
export function startStage(options: StageOptions, log: Log): Stage {
  let child: ChildProcess | undefined;
  let addresses: Readonly<Record<string, string>> = {};
  let closing = false;
  let configured = false;
  /** The same for every start. */
  let configuration: object | undefined;
  let first = options.program;
  let delay = 100;
  const restarted: (() => void)[] = [];

  const launch = (after: Promise<unknown> = Promise.resolve()): Promise<void> =>
    new Promise((resolve, reject) => {
      const started = first ?? forkStage(options);
      first = undefined;
      child = started;
      let ready = false;
      let failure: StenoError | undefined;
      let limit: NodeJS.Timeout | undefined;
      /** Rejects once the process has exited: it may still hold the port, the files and the `child` of the next one. */
      const fail = (error: StenoError, exitMs: number): void => {
        failure ??= error;
        clearTimeout(limit);
        limit = setTimeout(() => void started.kill('SIGKILL'), exitMs);
      };
      started.on('message', (message: FromService) => {
        if (message.kind === 'ready') {
          clearTimeout(limit);
          ready = true;
          delay = 100;
          addresses = message.addresses;
          resolve();
        } else {
          fail(new StenoError(isErrorCode(message.code) ? message.code : 'INTERNAL', `${options.name}: ${message.detail}`), EXIT_LIMIT_MS);
        }
      });
      started.on('error', (error) => {
        // Without a process there is no exit to wait for.
        if (started.pid === undefined) reject(error);
      });
      started.on('exit', (code, signal) => {
        clearTimeout(limit);
        child = undefined;
        reject(failure ?? new StenoError('INTERNAL', `${options.name} ended with ${signal ?? code}; see ${options.logFile}`));
        if (ready && !closing) {
          log.warn({ stage: options.name, code, signal }, 'stage ended; starting it again');
          again();
        }
      });
      const configure = (): void => {
        // Forked early, it may have ended before anybody listened.
        if (started.exitCode !== null || started.signalCode !== null || !started.connected) {
          reject(new StenoError('INTERNAL', `${options.name} ended while it was loaded; see ${options.logFile}`));
          return;
        }
        if (child !== started || closing) return;
        configured = true;
        limit = setTimeout(() => {
          fail(new StenoError('INTERNAL', `${options.name} did not start within ${START_LIMIT_MS / 1000} s; see ${options.logFile}`), 0);
        }, START_LIMIT_MS);
        const message: ToService = { kind: 'config', config: (configuration ??= options.config()) };
        started.send(message);
      };
      after.then(configure, (error: unknown) => {
        reject(error);
        started.kill('SIGKILL');
      });
    });

  const again = (): void => {
    setTimeout(() => {
      if (closing) return;
      delay = Math.min(delay * 2, 5_000);
      launch().then(
        () => {
          log.info({ stage: options.name }, 'stage serves again');
          for (const callback of restarted) callback();
        },
        (error: unknown) => {
          log.error({ stage: options.name, err: error }, 'stage does not start');
          if (!closing) again();
        },
      );
    }, delay);
  };

  const ready = launch(options.after);
  // A caller that starts several stages awaits them one by one: a failed one must not end this process before its turn.
  ready.catch(() => undefined);
  return {
    name: options.name,
    ready,
    get addresses() {
      return addresses;
    },
    get pid() {
      return child?.pid;
    },
    onRestart(callback) {
      restarted.push(callback);
    },
    async close() {
      closing = true;
      const current = child;
      if (current === undefined || current.exitCode !== null || current.signalCode !== null) return;
      const gone = new Promise<void>((resolve) => current.once('exit', () => resolve()));
      // It has not started anything yet.
      if (!configured) current.kill('SIGKILL');
      const message: ToService = { kind: 'close' };
      if (current.connected) current.send(message, () => undefined);
      const limit = setTimeout(() => {
        log.error({ stage: options.name }, 'stage did not drain in time');
        current.kill('SIGKILL');
      }, CLOSE_LIMIT_MS);
      await gone;
      clearTimeout(limit);
    },
  };
}
