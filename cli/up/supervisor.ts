/**
 * Starts the stages of one machine as child processes and keeps them running.
 *
 *     child:  starting ──ready──► serving ──exit──► waiting (0.1 s, doubled to 5 s) ──► starting
 *                 └──failed, the first time──► the whole start fails with the child's error
 *
 * A child is told its configuration over IPC and gets the same one again when it is restarted, so addresses stay.
 * When this process dies, the IPC channels close and the children drain by themselves. Tested in test/survival/killed.test.ts.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { StenoError, isErrorCode } from '#schemas/errors.js';
import type { Log } from '#runtime/log.js';
import type { FromService, ToService } from '#runtime/service.js';

export interface StageOptions {
  readonly name: string;
  /** Path of the program. */
  readonly module: string;
  readonly config: unknown;
  /** Where its standard error goes: its log. */
  readonly logFile: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Stage {
  readonly name: string;
  readonly addresses: Readonly<Record<string, string>>;
  readonly pid: number | undefined;
  /** Called after each restart, with the new process serving. */
  onRestart(callback: () => void): void;
  close(): Promise<void>;
}

const FIRST_START_LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 20_000;

/** Resolves when the stage serves; rejects with the stage's own error. */
export async function startStage(options: StageOptions, log: Log): Promise<Stage> {
  let child: ChildProcess | undefined;
  let addresses: Readonly<Record<string, string>> = {};
  let closing = false;
  let delay = 100;
  const restarted: (() => void)[] = [];

  const launch = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const logFd = openSync(options.logFile, 'a', 0o600);
      const started = fork(options.module, [], {
        stdio: ['ignore', logFd, logFd, 'ipc'],
        env: { ...process.env, ...options.environment },
        serialization: 'advanced',
      });
      closeSync(logFd);
      child = started;
      let ready = false;
      const limit = setTimeout(() => {
        started.kill('SIGKILL');
        reject(new StenoError('INTERNAL', `${options.name} did not start within ${FIRST_START_LIMIT_MS / 1000} s; see ${options.logFile}`));
      }, FIRST_START_LIMIT_MS);
      started.on('message', (message: FromService) => {
        clearTimeout(limit);
        if (message.kind === 'ready') {
          ready = true;
          delay = 100;
          addresses = message.addresses;
          resolve();
        } else {
          reject(new StenoError(isErrorCode(message.code) ? message.code : 'INTERNAL', `${options.name}: ${message.detail}`));
        }
      });
      started.on('error', reject);
      started.on('exit', (code, signal) => {
        clearTimeout(limit);
        child = undefined;
        reject(new StenoError('INTERNAL', `${options.name} ended with ${signal ?? code}; see ${options.logFile}`));
        if (ready && !closing) {
          log.warn({ stage: options.name, code, signal }, 'stage ended; starting it again');
          again();
        }
      });
      const message: ToService = { kind: 'config', config: options.config };
      started.send(message);
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

  await launch();
  return {
    name: options.name,
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
      if (current === undefined) return;
      const gone = new Promise<void>((resolve) => current.once('exit', () => resolve()));
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
